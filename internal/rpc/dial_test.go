package rpc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/agogopay/agogo/internal/rpc"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

func TestDialKeepsTokensOnThisMachine(t *testing.T) {
	t.Parallel()
	for addr, local := range map[string]bool{
		"127.0.0.1:7101": true, "127.8.9.10:7101": true, "localhost:7101": true, "[::1]:7101": true, "unix:/run/agogo.sock": true,
		"payouts:7102": false, "10.0.0.1:7102": false, "localhost.example.com:7102": false, "127.0.0.1.example.com:1": false,
		"0.0.0.0:7102": false, "dns:///localhost:7102": false,
	} {
		c, err := rpc.Dial(addr, "token")
		if (err == nil) != local {
			t.Errorf("Dial(%s) with a token: %v", addr, err)
		}
		if err != nil && !strings.Contains(err.Error(), "refusing to send a token unencrypted") {
			t.Errorf("Dial(%s): %v", addr, err)
		}
		if c != nil {
			_ = c.Close()
		}
		for _, o := range []rpc.DialOption{rpc.WithPlaintext(), rpc.WithTLS(nil)} {
			c, err := rpc.Dial(addr, "token", o)
			if err != nil {
				t.Errorf("Dial(%s) with an option: %v", addr, err)
				continue
			}
			_ = c.Close()
		}
		c, err = rpc.Dial(addr, "")
		if err != nil {
			t.Errorf("Dial(%s) without a token: %v", addr, err)
			continue
		}
		_ = c.Close()
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	plain := start(t) // its telemetry and fakes serve again
	s, err := rpc.NewServer(rpc.ServerConfig{
		Addr: "127.0.0.1:0", Auth: tokens(t), Policy: policy(), Telemetry: plain.tel,
		TLS: credentials.NewServerTLSFromCert(cert),
	})
	if err != nil {
		t.Fatal(err)
	}
	notifierv1.RegisterNotifierServiceServer(s, plain.notifier)
	schedulerv1.RegisterSchedulerServiceServer(s, plain.scheduler)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	secure := &server{Server: s}
	request := &notifierv1.ListDevicesRequest{Tenant: "lebenis"}
	client := notifierv1.NewNotifierServiceClient(secure.conn(t, "viewer-token", rpc.WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})))
	if _, err := client.ListDevices(t.Context(), request); err != nil {
		t.Errorf("with TLS: %v", err)
	}
	if _, err := secure.notifierAs(t, "viewer-token").ListDevices(t.Context(), request); err == nil {
		t.Error("a TLS server answered in plaintext")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func certificate(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
