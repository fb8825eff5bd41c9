package process_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/agogopay/agogo/internal/process"
)

// secured starts a server that speaks TLS only and lets one nkey in; the files are that key's seed and the server's authority.
func secured(t *testing.T) (url, seed, ca string) {
	t.Helper()
	dir := t.TempDir()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	pair, der := selfSigned(t)
	seed, ca = filepath.Join(dir, "user.nk"), filepath.Join(dir, "ca.crt")
	for path, content := range map[string][]byte{seed: raw, ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, TLS: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
		Nkeys:     []*server.NkeyUser{{Nkey: public}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL(), seed, ca
}

func selfSigned(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, der
}

func TestConnectWithASeedAndAnAuthorityOfItsOwn(t *testing.T) {
	t.Parallel()
	url, seed, ca := secured(t)
	nc, err := process.Connect(t.Context(), process.Server{URL: url, Creds: seed, CA: ca}, "payouts", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.TLSConnectionState(); err != nil {
		t.Errorf("the connection is not encrypted: %v", err)
	}
	_, err = process.Connect(t.Context(), process.Server{URL: url, Creds: seed}, "payouts", nil)
	if err == nil || !strings.Contains(err.Error(), "name that in AGOGO_NATS_CA") {
		t.Errorf("a server of an unknown authority: %v", err)
	}
}

// Whoever names an authority must never be served by a server that does not encrypt.
func TestConnectWithAnAuthorityRefusesPlaintext(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	_, _, ca := secured(t)
	if nc, err := process.Connect(t.Context(), process.Server{URL: s.ClientURL(), CA: ca}, "payouts", nil); err == nil {
		nc.Close()
		t.Error("connected in plaintext")
	}
}
