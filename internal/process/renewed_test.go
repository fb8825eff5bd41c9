package process_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/renewal"
	"github.com/agogopay/agogo/internal/renewal/renewaltest"
)

// The broker's authority is replaced while a service is connected: the connection goes on, and the next one is held against the
// authority that the file holds by then.
func TestAnotherAuthorityOfTheBroker(t *testing.T) {
	t.Parallel()
	dir, old, next := t.TempDir(), renewaltest.New(t), renewaltest.New(t)
	cert, key := old.Issue(t, dir, time.Now().Add(time.Hour))
	pair, err := renewal.NewPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, TLS: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{GetCertificate: pair.Get, MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := process.Connect(t.Context(), process.Server{URL: s.ClientURL(), CA: renewaltest.Trust(t, dir, old)}, "payouts", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	next.Issue(t, dir, time.Now().Add(2*time.Hour))
	renewaltest.Trust(t, dir, next)
	if err := nc.Flush(); err != nil || nc.Stats().Reconnects != 0 {
		t.Fatalf("the connection did not go on: %v", err)
	}
	changed := nc.StatusChanged(nats.CONNECTED)
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, changed, nats.CONNECTED)
	if err := nc.Flush(); err != nil { // the library reads its state without a lock when it is asked for TLS
		t.Fatal(err)
	}
	state, err := nc.TLSConnectionState()
	if err != nil || time.Until(state.PeerCertificates[0].NotAfter) < 90*time.Minute {
		t.Errorf("%v: still the certificate that ends at %s", err, state.PeerCertificates[0].NotAfter)
	}
}

// What a process is given is measured by the service's own registry.
func TestCertificatesAreMeasured(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), renewaltest.New(t)
	cert, key := authority.Issue(t, dir, time.Unix(2_000_000_000, 0))
	ca := renewaltest.Trust(t, dir, authority)
	env := map[string]string{
		"AGOGO_TLS_CERT": cert, "AGOGO_TLS_KEY": key, "AGOGO_NATS_CA": ca, "AGOGO_POSTGRES_DSN": "postgres://x@127.0.0.1/x?sslmode=verify-full&sslrootcert=" + ca,
	}
	registry := process.Loaded(t, tenants, env)
	w := httptest.NewRecorder()
	registry.Handler(nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for name, want := range map[string]float64{"grpc": 2e9, "nats-ca": float64(time.Now().Add(24 * time.Hour).Unix()), "postgres-ca": float64(time.Now().Add(24 * time.Hour).Unix())} {
		m := regexp.MustCompile(`agogo_certificate_expires_timestamp_seconds\{certificate="` + name + `"\} (\S+)`).FindStringSubmatch(w.Body.String())
		if m == nil {
			t.Errorf("%s is not measured", name)
			continue
		}
		if got, err := strconv.ParseFloat(m[1], 64); err != nil || got < want-600 || got > want+600 {
			t.Errorf("%s ends at %s, want %f", name, m[1], want)
		}
	}
}
