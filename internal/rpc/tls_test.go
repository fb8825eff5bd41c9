package rpc_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/agogopay/agogo/internal/renewal/renewaltest"
	"github.com/agogopay/agogo/internal/rpc"
)

// written writes a new certificate in the place of the last one.
func written(t *testing.T, dir string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	c, roots := certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile, roots
}

func TestARenewedCertificateServesWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, before := written(t, dir)
	serving, err := rpc.ServerTLS(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	addr := handshakes(t, serving)
	trusts := func(roots *x509.CertPool) error {
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}})
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if err := trusts(before); err != nil {
		t.Fatal(err)
	}
	_, _, after := written(t, dir)
	if err := trusts(after); err != nil {
		t.Errorf("the new certificate is not served: %v", err)
	}
	if err := trusts(before); err == nil {
		t.Error("the old certificate is still served")
	}
	if err := os.WriteFile(keyFile, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := trusts(after); err != nil {
		t.Errorf("files that do not fit took the last good certificate away: %v", err)
	}
}

// A call that was connected before goes on as it is; who calls for the first time sees the new certificate.
func TestACertificateIsReplacedWhileSomebodyIsConnected(t *testing.T) {
	t.Parallel()
	dir, old, next := t.TempDir(), renewaltest.New(t), renewaltest.New(t)
	serving, err := rpc.ServerTLS(old.Issue(t, dir, time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *rpc.ServerConfig) { c.TLS = serving })
	asking := func(roots *x509.CertPool) func() error {
		conn, err := rpc.Dial(s.Addr(), "", rpc.WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return func() error {
			_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
			return err
		}
	}
	connected := asking(old.Pool())
	if err := connected(); err != nil {
		t.Fatal(err)
	}
	next.Issue(t, dir, time.Now().Add(time.Hour))
	if err := connected(); err != nil {
		t.Errorf("who was connected is shut out: %v", err)
	}
	if err := asking(next.Pool())(); err != nil {
		t.Errorf("the new certificate is not served: %v", err)
	}
	if err := asking(old.Pool())(); err == nil {
		t.Error("the old certificate is still served")
	}
}

func TestServerTLSOfNothingIsPlaintextAndOfWrongFilesAnError(t *testing.T) {
	t.Parallel()
	if c, err := rpc.ServerTLS("", ""); c != nil || err != nil {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := rpc.ServerTLS(filepath.Join(t.TempDir(), "absent.crt"), "absent.key"); err == nil || !strings.Contains(err.Error(), "absent.crt") {
		t.Errorf("got %v", err)
	}
}

// handshakes accepts connections and does no more than to shake hands.
func handshakes(t *testing.T, c credentials.TransportCredentials) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if secure, _, err := c.ServerHandshake(conn); err == nil {
				_ = secure.Close()
			}
		}
	}()
	return l.Addr().String()
}
