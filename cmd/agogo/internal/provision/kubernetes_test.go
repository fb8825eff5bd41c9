package provision_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
)

// apiServer keeps Secrets as an API server does, as far as three verbs go.
type apiServer struct {
	mu       sync.Mutex
	secrets  map[string]map[string][]byte
	metadata map[string]map[string]any
	applied  []string
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/pay/secrets/")
	if !ok || r.Header.Get("Authorization") != "Bearer let-me-in" {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"secrets is forbidden"}`)
		return
	}
	if r.Method == http.MethodGet {
		data, ok := a.secrets[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "metadata": a.metadata[name], "data": data})
		return
	}
	var o struct {
		Metadata map[string]any
		Data     map[string][]byte
	}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || r.Method != http.MethodPatch || r.Header.Get("Content-Type") != "application/apply-patch+yaml" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.secrets[name], a.metadata[name] = o.Data, o.Metadata
	a.applied = append(a.applied, name)
}

func TestSecretsAreCompletedAndNeverChanged(t *testing.T) {
	t.Parallel()
	api := &apiServer{secrets: map[string]map[string][]byte{}, metadata: map[string]map[string]any{}}
	s := httptest.NewServer(api)
	defer s.Close()
	cluster := &provision.Cluster{URL: s.URL, Namespace: "pay", Token: "let-me-in", Client: s.Client()}
	ensure := func() (changed []string) {
		t.Helper()
		changed, err := provision.EnsureSecrets(t.Context(), cluster, "shop-agogo", t0, []string{"localhost", "shop-agogo-payouts"}, []string{"localhost", "shop-agogo-nats"})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if changed := ensure(); len(changed) != 12 || !slices.Contains(changed, "shop-agogo-tls-grpc") {
		t.Errorf("written first: %v", changed)
	}
	for name, want := range map[string]string{"grpc": "shop-agogo-payouts", "nats": "shop-agogo-nats"} { // neither can be shown in the other's place
		block, _ := pem.Decode(api.secrets["shop-agogo-tls-"+name]["tls.crt"])
		if c, err := x509.ParseCertificate(block.Bytes); err != nil || !slices.Equal(c.DNSNames, []string{"localhost", want}) {
			t.Errorf("%s: %v, %v", name, c.DNSNames, err)
		}
	}
	before := maps.Clone(api.secrets)
	if changed := ensure(); len(changed) != 0 {
		t.Errorf("written again: %v", changed)
	}
	delete(api.metadata, "shop-agogo-ca") // of a version that did not write whose it is
	if changed := ensure(); !slices.Equal(changed, []string{"shop-agogo-ca"}) || cmp.Diff(before, api.secrets) != "" {
		t.Errorf("without a label: %v", changed)
	}
	delete(api.secrets, "shop-agogo-keys-payouts") // somebody wants a new key; the password is the provisioner's too, and stays
	changed := ensure()
	if !slices.Equal(changed, []string{"shop-agogo-keys-payouts", "shop-agogo-keys-nats"}) {
		t.Errorf("after a key was deleted: %v", changed)
	}
	if string(before["shop-agogo-keys-payouts"]["nats.nk"]) == string(api.secrets["shop-agogo-keys-payouts"]["nats.nk"]) {
		t.Error("the deleted key came back")
	}
	for _, name := range []string{"shop-agogo-keys-payouts", "shop-agogo-keys-nats"} {
		delete(before, name)
		delete(api.secrets, name)
	}
	if d := cmp.Diff(before, api.secrets); d != "" {
		t.Errorf("other keys changed:\n%s", d)
	}
}

// Who removes an installation's keys by their label must not take another's with them.
func TestASecretSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	k := provision.Keys{Dir: t.TempDir()}
	if err := k.Make(); err != nil {
		t.Fatal(err)
	}
	all, err := k.Secrets("shop-agogo", false)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d Secrets, %v", len(all), err)
	}
	for _, s := range all {
		raw, err := s.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Metadata struct{ Labels map[string]string }
		}
		if err := json.Unmarshal(raw, &m); err != nil || m.Metadata.Labels["agogo-installation"] != "shop-agogo" {
			t.Errorf("%s: %v, %v", s.Name, m.Metadata.Labels, err)
		}
	}
}

// A Secret holds what its process needs, and of the others nothing.
func TestEachSecretHoldsOneProcesssKeys(t *testing.T) {
	t.Parallel()
	k := provision.Keys{Dir: t.TempDir()}
	if err := k.Make(); err != nil {
		t.Fatal(err)
	}
	all, err := k.Secrets("a", false)
	if err != nil {
		t.Fatal(err)
	}
	holders := map[string][]string{}
	for _, s := range all {
		if s.Name == "a-keys-provision" { // it gives the roles their passwords
			continue
		}
		for _, v := range s.Data {
			holders[v] = append(holders[v], s.Name)
		}
	}
	for _, h := range holders {
		if len(h) > 1 {
			t.Errorf("the same value is in %v", h)
		}
	}
}

func TestAnApiThatRefusesIsQuoted(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(&apiServer{})
	defer s.Close()
	_, err := provision.EnsureSecrets(t.Context(), &provision.Cluster{URL: s.URL, Namespace: "pay", Token: "wrong", Client: s.Client()}, "a", t0, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "secrets is forbidden") {
		t.Errorf("got %v", err)
	}
}
