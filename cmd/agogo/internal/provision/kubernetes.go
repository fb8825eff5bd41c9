package provision

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Cluster is the API server of the cluster that the process runs in, as far as Secrets of one namespace go. It is spoken to
// without a library: three verbs of one kind need none.
type Cluster struct {
	URL       string
	Namespace string
	Token     string
	Client    *http.Client
}

// serviceAccount is where every pod finds what it needs to speak to its cluster.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

const apiTimeout = 15 * time.Second

// InCluster finds the cluster of this pod.
func InCluster(getenv func(string) string) (*Cluster, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod of Kubernetes: give --dir, and apply what is printed")
	}
	read := func(name string) (string, error) {
		raw, err := os.ReadFile(filepath.Join(serviceAccount, name))
		return strings.TrimSpace(string(raw)), err
	}
	token, errToken := read("token")
	namespace, errNamespace := read("namespace")
	ca, errCA := read("ca.crt")
	if err := errors.Join(errToken, errNamespace, errCA); err != nil {
		return nil, fmt.Errorf("service account of this pod: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("service account of this pod: its ca.crt holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &Cluster{URL: "https://" + net.JoinHostPort(host, port), Namespace: namespace, Token: token, Client: &http.Client{Transport: transport, Timeout: apiTimeout}}, nil
}

// EnsureSecrets makes the Secrets of an installation, or adds what they lack. What they hold stays as it is, so that an upgrade
// changes no key; who wants a new one deletes the old. hosts are what the services' certificate is made for, and brokers the one of
// NATS, so that neither can be shown in the other's place; no hosts: no certificates.
func EnsureSecrets(ctx context.Context, c *Cluster, prefix string, now time.Time, hosts, brokers []string) (changed []string, err error) {
	dir, err := os.MkdirTemp("", "agogo-keys-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k, given := Keys{Dir: dir}, map[string]Secret{}
	for _, shape := range append(shapes(len(hosts) > 0), secretShape{suffix: publicKeys}, secretShape{suffix: tokenHashes}) {
		s, found, err := c.get(ctx, prefix+shape.suffix)
		if err != nil {
			return nil, err
		}
		if found {
			given[s.Name] = s
		}
	}
	if err := k.Restore(prefix, given); err != nil {
		return nil, err
	}
	if err := k.Make(); err != nil {
		return nil, err
	}
	if len(hosts) > 0 {
		if err := errors.Join(k.Certificates(now, []string{Broker}, brokers), k.Certificates(now, []string{"grpc"}, hosts)); err != nil {
			return nil, err
		}
	}
	wanted, err := k.Secrets(prefix, len(hosts) > 0)
	if err != nil {
		return nil, err
	}
	for _, s := range wanted {
		is, found := given[s.Name]
		if found && is.Instance == s.Instance && maps.Equal(is.Data, s.Data) {
			continue
		}
		if err := c.apply(ctx, s); err != nil {
			return changed, err
		}
		changed = append(changed, s.Name)
	}
	return changed, nil
}

// secretObject is a Secret as the API server knows it.
type secretObject struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]any    `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

// ofInstallation says whose keys a Secret holds. It is a label of our own: tools that delete what is in no manifest know their things by
// app.kubernetes.io/instance.
const ofInstallation = "agogo-installation"

func object(s Secret) secretObject {
	o := secretObject{
		APIVersion: "v1", Kind: "Secret", Type: s.Type, Data: map[string][]byte{},
		// They belong to no release: to uninstall must not take the keys of the data away.
		Metadata: map[string]any{"name": s.Name, "labels": map[string]string{
			"app.kubernetes.io/name": "agogo", ofInstallation: s.Instance, "app.kubernetes.io/part-of": "agogo", "app.kubernetes.io/component": "keys",
		}},
	}
	for k, v := range s.Data {
		o.Data[k] = []byte(v)
	}
	return o
}

// Manifest is a Secret as JSON for kubectl apply.
func (s Secret) Manifest() ([]byte, error) { return json.MarshalIndent(object(s), "", "  ") }

func (c *Cluster) path(name string) string {
	return c.URL + "/api/v1/namespaces/" + c.Namespace + "/secrets/" + name
}

func (c *Cluster) get(ctx context.Context, name string) (Secret, bool, error) {
	code, raw, err := c.call(ctx, http.MethodGet, c.path(name), "", nil)
	if err != nil || code == http.StatusNotFound {
		return Secret{}, false, err
	}
	var o secretObject
	if err := json.Unmarshal(raw, &o); err != nil {
		return Secret{}, false, fmt.Errorf("secret %s: %w", name, err)
	}
	s := Secret{Name: name, Type: o.Type, Data: map[string]string{}}
	if labels, ok := o.Metadata["labels"].(map[string]any); ok {
		s.Instance, _ = labels[ofInstallation].(string)
	}
	for k, v := range o.Data {
		s.Data[k] = string(v)
	}
	return s, true, nil
}

// apply creates or merges in one call: server-side apply. Fields that somebody else manages are not fought over.
func (c *Cluster) apply(ctx context.Context, s Secret) error {
	body, err := json.Marshal(object(s))
	if err != nil {
		return err
	}
	_, _, err = c.call(ctx, http.MethodPatch, c.path(s.Name)+"?fieldManager=agogo-provision&force=true", "application/apply-patch+yaml", body)
	return err
}

const maxAnswer = 2 << 20 // a Secret holds 1 MiB at most

func (c *Cluster) call(ctx context.Context, method, url, contentType string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, nil, err
	}
	if res.StatusCode/100 == 2 || method == http.MethodGet && res.StatusCode == http.StatusNotFound {
		return res.StatusCode, raw, nil
	}
	var status struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(raw, &status) // an answer of another shape leaves the message empty
	return res.StatusCode, nil, fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, res.Status, status.Message)
}
