package provision_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// files are the contents of a folder, by path; all must be their owner's alone.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is readable by others: %s", path, info.Mode())
		}
		raw, err := os.ReadFile(path)
		all[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestKeysAreMadeOnceAndWhatIsMissingIsAdded(t *testing.T) {
	t.Parallel()
	k := provision.Keys{Dir: t.TempDir()}
	if err := k.Make(); err != nil {
		t.Fatal(err)
	}
	first := files(t, k.Dir)
	if err := os.Remove(filepath.Join(k.Dir, "nats", "payouts.pub")); err != nil { // as if the process had died before it
		t.Fatal(err)
	}
	gone := filepath.Join(k.Dir, "tokens", "operator")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := k.Make(); err != nil {
		t.Fatal(err)
	}
	again := files(t, k.Dir)
	if again[gone] == "" || again[gone] == first[gone] {
		t.Errorf("the token that was taken away was not made anew: %q", again[gone])
	}
	delete(first, gone)
	delete(again, gone)
	if d := cmp.Diff(first, again); d != "" {
		t.Errorf("keys changed (-first +again):\n%s", d)
	}
}

func TestCertificatesAreKeptUntilTheyNoLongerServe(t *testing.T) {
	t.Parallel()
	k, now := provision.Keys{Dir: t.TempDir()}, time.Now()
	issue := func(now time.Time, hosts ...string) (ca, cert string) {
		t.Helper()
		if err := k.Certificates(now, []string{"grpc"}, hosts); err != nil {
			t.Fatal(err)
		}
		all := files(t, k.Dir)
		return all[k.Authority()], all[filepath.Join(k.Dir, "tls", "grpc.crt")]
	}
	ca, first := issue(now, "localhost", "127.0.0.1")
	verify(t, ca, first, now, "localhost")
	verify(t, ca, first, now, "127.0.0.1")
	if ca2, again := issue(now, "localhost"); again != first || ca2 != ca {
		t.Error("a certificate that was good was made anew")
	}
	ca3, wider := issue(now, "localhost", "pay.example.com")
	if ca3 != ca {
		t.Error("the authority changed: whoever trusts it would have to be told")
	}
	verify(t, ca, wider, now, "pay.example.com")
	later := now.Add(800 * 24 * time.Hour)
	_, renewed := issue(later, "localhost", "pay.example.com")
	if renewed == wider {
		t.Error("a certificate that ends within weeks was kept")
	}
	verify(t, ca, renewed, later.Add(300*24*time.Hour), "localhost")
}

// Whoever opens a connection to the brokers' cluster port is a server of the cluster, and stands outside every user's rights.
func TestOnlyTheBrokersCertificateOpensConnections(t *testing.T) {
	t.Parallel()
	k, now := provision.Keys{Dir: t.TempDir()}, time.Now()
	path := func(name string) string { return filepath.Join(k.Dir, "tls", name) }
	issue := func(names ...string) {
		t.Helper()
		if err := k.Certificates(now, names, []string{"localhost"}); err != nil {
			t.Fatal(err)
		}
	}
	issue("nats")
	for _, ext := range []string{".crt", ".key"} { // good for everything, as all of them once were
		if err := os.Rename(path("nats"+ext), path("grpc"+ext)); err != nil {
			t.Fatal(err)
		}
	}
	issue("nats", "postgres", "grpc")
	all := files(t, k.Dir)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(all[k.Authority()]))
	for _, name := range []string{"nats", "postgres", "grpc"} {
		block, _ := pem.Decode([]byte(all[path(name+".crt")]))
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); (err == nil) != (name == "nats") {
			t.Errorf("%s as a client: %v", name, err)
		}
		verify(t, all[k.Authority()], all[path(name+".crt")], now, "localhost")
	}
}

// What an authority of one's own has signed stays, whatever order it writes uses in.
func TestACertificateThatFitsIsKept(t *testing.T) {
	t.Parallel()
	k, now := provision.Keys{Dir: t.TempDir()}, time.Now()
	decode := func(name string) []byte {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(k.Dir, "tls", name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(raw)
		return block.Bytes
	}
	for _, name := range []string{"nats", "grpc"} {
		if err := k.Certificates(now, []string{name}, []string{"localhost"}); err != nil {
			t.Fatal(err)
		}
		own, err := x509.ParseCertificate(decode(name + ".crt"))
		if err != nil {
			t.Fatal(err)
		}
		ca, err := x509.ParseCertificate(decode("ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.ParsePKCS8PrivateKey(decode("ca.key"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(own.ExtKeyUsage)
		own.ExtKeyUsage = append(own.ExtKeyUsage, x509.ExtKeyUsageEmailProtection)
		own.DNSNames = append(own.DNSNames, "more.example")
		der, err := x509.CreateCertificate(rand.Reader, own, ca, own.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(k.Dir, "tls", name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := k.Certificates(now, []string{name}, []string{"localhost"}); err != nil || !slices.Equal(decode(name+".crt"), der) {
			t.Errorf("%s was replaced: %v", name, err)
		}
	}
}

func verify(t *testing.T, ca, cert string, at time.Time, host string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	block, _ := pem.Decode([]byte(cert))
	if block == nil {
		t.Fatal("no certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: at}); err != nil {
		t.Errorf("%s: %v", host, err)
	}
}

func TestAccountsNameAVariableWhereKeysAreMadeLater(t *testing.T) {
	t.Parallel()
	var conf bytes.Buffer
	err := provision.Accounts(&conf, func(user string) (string, error) { return "$" + provision.KeyVariable(user), nil })
	if err != nil || !bytes.Contains(conf.Bytes(), []byte("nkey: $AGOGO_NKEY_PAYOUTS\n")) {
		t.Errorf("%v:\n%s", err, conf.String())
	}
	chart, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "deploy", "helm", "agogo", "files", "nats-accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(chart), conf.String()); d != "" {
		t.Errorf("the chart gives other rights than the code says; run make gen (-chart +code):\n%s", d)
	}
}
