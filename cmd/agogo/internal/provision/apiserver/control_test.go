//go:build apiserver

package apiserver_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the repository's.
var root = filepath.Join("..", "..", "..", "..", "..")

// control is a Kubernetes API server with its etcd and nothing else: resources are validated and stored, who may do what is
// decided, and no pod ever runs. The tests play the controllers' part.
type control struct {
	t      *testing.T
	dir    string
	url    string
	client *http.Client
}

const (
	adminToken     = "admin-token"     // of the test itself
	installerToken = "installer-token" // of who installs, with the rights of deploy/helm/installer.yaml and no others
)

// auditPolicy has each request of people and of the chart's jobs written down: who asked for what.
const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"], "rules": [{"level": "Metadata"}]}`

func startControl(t *testing.T) *control {
	t.Helper()
	c := &control{t: t, dir: t.TempDir(), client: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}, // its certificate is of its own making
	}}
	etcd, peers, address := free(t), free(t), free(t)
	c.run("etcd", "--data-dir", c.path("etcd"), "--unsafe-no-fsync", "--listen-client-urls", "http://"+etcd, "--advertise-client-urls", "http://"+etcd,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", "http://"+peers, "--initial-cluster", "default=http://"+peers, "--log-level", "error")
	c.write("sa.key", signingKey(t))
	c.write("audit.json", []byte(auditPolicy))
	c.write("tokens.csv", []byte(adminToken+",admin,1,system:masters\n"+installerToken+",installer,2\n"))
	_, port, _ := strings.Cut(address, ":")
	c.url = "https://" + address
	c.run(filepath.Join(root, "bin", "tools", "kube-apiserver"), "--etcd-servers", "http://"+etcd, "--bind-address", "127.0.0.1", "--secure-port", port,
		"--cert-dir", c.path("certs"), "--authorization-mode", "Node,RBAC", "--token-auth-file", c.path("tokens.csv"), "--service-cluster-ip-range", "10.96.0.0/16",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", c.path("sa.key"), "--service-account-signing-key-file", c.path("sa.key"),
		"--audit-policy-file", c.path("audit.json"), "--audit-log-path", c.path("audit.log"), "--endpoint-reconciler-type", "none", "--profiling=false")
	c.eventually("an API server that is ready", func() bool {
		code, _ := c.call(adminToken, http.MethodGet, "/readyz", "", nil)
		return code == http.StatusOK
	})
	return c
}

func (c *control) path(name string) string { return filepath.Join(c.dir, name) }

func (c *control) write(name string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// signingKey is what tokens of service accounts are signed with.
func signingKey(t *testing.T) []byte {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// log is what a server has written so far.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.b.String()
	return text[max(0, len(text)-3000):]
}

// start starts a child that does not outlive this process, however that ends; the channel is closed when the child has ended.
func start(cmd *exec.Cmd) (<-chan struct{}, error) {
	cmd.SysProcAttr = withUs()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The death signal is sent when the thread that forked ends, so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it ends by a signal, whatever that comes to
		}
	}()
	return ended, <-started
}

// run runs a server until the test ends; the last one started ends first.
func (c *control) run(program string, args ...string) {
	c.t.Helper()
	var l log
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &l, &l
	ended, err := start(cmd)
	if err != nil {
		c.t.Fatalf("%v: bin/tools/kube-apiserver comes from make test/apiserver, etcd from the package etcd-server", err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		patience := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		<-ended
		patience.Stop()
		if c.t.Failed() {
			c.t.Logf("%s:\n%s", filepath.Base(program), l.tail())
		}
	})
}

func (c *control) eventually(what string, ok func() bool) {
	c.t.Helper()
	deadline, tick := time.After(3*time.Minute), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%s: not within three minutes", what)
		}
	}
}

const (
	asJSON  = "application/json"
	asMerge = "application/merge-patch+json"
	asApply = "application/apply-patch+yaml"
)

func (c *control) call(token, method, path, contentType string, body []byte) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, raw
}

// must is a call of the test's own that has to succeed.
func (c *control) must(method, path, contentType, body string) []byte {
	c.t.Helper()
	code, raw := c.call(adminToken, method, path, contentType, []byte(body))
	if code/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, code, raw)
	}
	return raw
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
