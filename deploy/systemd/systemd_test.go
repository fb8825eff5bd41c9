package systemd_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/agogopay/agogo/internal/config"
)

var services = []string{"scheduler", "payouts", "recurrences", "notifier"}

// folder is where the command line was built, once for all tests.
var folder string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agogo-systemd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	folder = dir
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir+"/", "github.com/agogopay/agogo/cmd/agogo").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// install runs the installer below a folder of its own and returns that folder and the environment it was run with.
func install(t *testing.T) (root string, again func(env ...string) string) {
	t.Helper()
	bin, root := t.TempDir(), t.TempDir()
	if err := os.Symlink(filepath.Join(folder, "agogo"), filepath.Join(bin, "agogo")); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"nats-server"}, services...) { // what they do is not looked at here
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	again = func(env ...string) string {
		t.Helper()
		cmd := exec.Command("sh", "install.sh", "--files")
		cmd.Env = append(os.Environ(), "DESTDIR="+root, "AGOGO_BIN="+bin)
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	again()
	return root, again
}

func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, root)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheInstallerMayBeRepeated(t *testing.T) {
	t.Parallel()
	root, again := install(t)
	first := contents(t, root)
	edited := filepath.Join(root, "etc/agogo/payouts.env")
	if err := os.WriteFile(edited, []byte("AGOGO_POSTGRES_DSN=postgres://elsewhere/agogo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again()
	for path, was := range contents(t, root) {
		if path == "/etc/agogo/payouts.env" {
			if !strings.Contains(was, "elsewhere") {
				t.Error("an edited file was overwritten")
			}
			continue
		}
		if first[path] != was {
			t.Errorf("%s has changed", path)
		}
	}
	checkSecrets(t, root)
}

// checkSecrets holds that everything secret is root's alone, and that what others must read holds nothing secret.
func checkSecrets(t *testing.T, root string) {
	t.Helper()
	keys := filepath.Join(root, "etc/agogo/keys")
	if info, err := os.Stat(keys); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("keys: %v, %v", info.Mode(), err)
	}
	all := contents(t, root)
	for path, text := range all {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o004 == 0 || strings.HasPrefix(path, "/usr/local") {
			continue
		}
		for from, secret := range all {
			if strings.HasPrefix(from, "/etc/agogo/keys/") && !strings.HasSuffix(from, ".pub") && strings.Contains(text, strings.TrimSpace(secret)) {
				t.Errorf("%s may be read by everybody and holds %s", path, from)
			}
		}
	}
}

// What the units and the files set must be what the services read: a name that is spelt wrong would be ignored in silence.
func TestEverySettingIsOneThatServicesRead(t *testing.T) {
	t.Parallel()
	root, _ := install(t)
	read := map[string]bool{"PGPASSFILE": true}
	_, _ = config.FromEnv("payouts", func(name string) string { read[name] = true; return "" })
	all := contents(t, root)
	assigned := regexp.MustCompile(`(?m)(?:^|[ =])([A-Z][A-Z0-9_]+)=`)
	for _, path := range []string{"/etc/agogo/common.env", "/etc/agogo/payouts.env", "/etc/systemd/system/agogo@.service"} {
		text := all[path]
		if strings.HasSuffix(path, ".service") {
			text = strings.Join(regexp.MustCompile(`(?m)^Environment=.*$`).FindAllString(text, -1), "\n")
		}
		found := assigned.FindAllStringSubmatch(text, -1)
		if len(found) < 2 {
			t.Errorf("%s sets %v", path, found)
		}
		for _, name := range found {
			if !read[name[1]] {
				t.Errorf("%s sets %s, which no service reads", path, name[1])
			}
		}
	}
	own := map[string]string{"payouts": "ORANGE_", "recurrences": "CIELO_"}
	for _, service := range services { // each with its own variables and no token
		_, err := config.LoadFor(service, filepath.Join(root, "etc/agogo/tenants.yaml"), func(name string) string {
			switch {
			case own[service] == "" || !strings.HasPrefix(name, own[service]):
				t.Errorf("%s asks for %s", service, name)
				return ""
			case name == "CIELO_MERCHANT_ID":
				return "c4b1d27e-58f0-4e93-9a6d-0f7e2b3c8d15"
			default:
				return strings.Repeat("x", 40)
			}
		})
		if err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
}

// An attempt that ended after it had written one file, or a file of one's own, must not leave an installation that lets nobody in.
func TestTokensAreLetInWhateverWasThere(t *testing.T) {
	t.Parallel()
	root, again := install(t)
	tenants := filepath.Join(root, "etc/agogo/tenants.yaml")
	tokens := func() int {
		t.Helper()
		file, err := config.LoadFor("scheduler", tenants, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		return len(file.Auth.Tokens)
	}
	if n := tokens(); n != 4 {
		t.Errorf("%d tokens after the first time", n)
	}
	raw, err := os.ReadFile(tenants)
	if err != nil {
		t.Fatal(err)
	}
	whole := string(raw)
	without, _, _ := strings.Cut(whole, "\n# Written by: agogo provision auth")
	own := without + "\nauth:\n  tokens:\n    - {name: ada, role: admin, tenants: [\"*\"], token_sha256: \"" + strings.Repeat("ab", 32) + "\"}\n"
	for text, want := range map[string]int{without: 4, own: 1, whole: 4} {
		if err := os.WriteFile(tenants, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		again()
		if n := tokens(); n != want {
			t.Errorf("%d tokens, want %d", n, want)
		}
	}
}

func TestTheInstallerSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	root, again := install(t)
	if out := again(); !strings.Contains(out, "missing: ORANGE_CLIENT_SECRET in "+root+"/etc/agogo/payouts.secrets.env") {
		t.Errorf("it does not say what is missing:\n%s", out)
	}
	for service, text := range map[string]string{
		"payouts":     "ORANGE_CLIENT_ID=a\nORANGE_CLIENT_SECRET=b\nORANGE_POS_ID=c\nORANGE_CALLBACK_AUTH=d\n",
		"recurrences": "CIELO_MERCHANT_ID=a\nCIELO_MERCHANT_KEY=b\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc/agogo", service+".secrets.env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := again(); strings.Contains(out, "missing") {
		t.Errorf("nothing is missing:\n%s", out)
	}
}

// The installer is run again without the names that it was given before, and the certificate is made anew: it has them still.
func TestTheNamesOfTheLastTimeAreKept(t *testing.T) {
	t.Parallel()
	root, again := install(t)
	again("AGOGO_HOSTS=localhost,127.0.0.1,pay.example.com")
	for _, file := range []string{"grpc.crt", "grpc.key"} {
		if err := os.Remove(filepath.Join(root, "etc/agogo/keys/tls", file)); err != nil {
			t.Fatal(err)
		}
	}
	again()
	raw, err := os.ReadFile(filepath.Join(root, "etc/agogo/keys/tls/grpc.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.VerifyHostname("pay.example.com") != nil {
		t.Errorf("good for %v only: %v", cert.DNSNames, err)
	}
}

func TestTheBrokersConfigurationIsRead(t *testing.T) {
	t.Parallel()
	root, _ := install(t)
	conf := filepath.Join(root, "etc/agogo/nats.conf")
	raw, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), "/run/credentials/agogo-nats.service", filepath.Join(root, "etc/agogo/keys/tls"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if !o.SyncAlways || o.TLSConfig == nil || len(o.Nkeys) != 6 || o.StoreDir != "/var/lib/agogo-nats" {
		t.Errorf("always %t, TLS %t, %d users, store %s", o.SyncAlways, o.TLSConfig != nil, len(o.Nkeys), o.StoreDir)
	}
}

// hardening is what every unit that runs a program must say.
var hardening = []string{
	"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes", "CapabilityBoundingSet=",
	"MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes", "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources", "LogNamespace=agogo", "UMask=0077",
}

func TestUnitsAreHardenedAndValid(t *testing.T) {
	t.Parallel()
	root, _ := install(t)
	units := filepath.Join(root, "etc/systemd/system")
	for _, unit := range []string{"agogo@.service", "agogo-nats.service"} {
		raw, err := os.ReadFile(filepath.Join(units, unit))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(raw), "\n")
		for _, want := range hardening {
			if !slices.Contains(lines, want) {
				t.Errorf("%s does not say %s", unit, want)
			}
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: the units were only read")
		return
	}
	theMachines(t, root)
	for _, args := range [][]string{
		{"verify", "--root=" + root, "--man=no", "agogo@payouts.service", "agogo-nats.service", "agogo.target"},
		{"security", "--root=" + root, "--offline=true", "--threshold=20", "agogo@payouts.service", "agogo-nats.service"}, // 2.0 of 10; units without hardening are at 9.6
	} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || strings.Contains(string(out), "Unknown") {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

// theMachines writes what units of ours refer to and the machine has: a folder is looked at as if it were one.
func theMachines(t *testing.T, root string) {
	t.Helper()
	files := map[string]string{"bin/kill": "#!/bin/sh\n"}
	for _, target := range []string{"sysinit", "basic", "shutdown", "network-online", "sockets", "system", "local-fs", "tmp"} {
		files["usr/lib/systemd/system/"+target+".target"] = "[Unit]\nDefaultDependencies=no\n"
	}
	for _, journal := range []string{"systemd-journald@", "systemd-journald-varlink@"} {
		files["usr/lib/systemd/system/"+journal+".socket"] = "[Socket]\nListenStream=/run/x\n"
		files["usr/lib/systemd/system/"+journal+".service"] = "[Service]\nExecStart=/bin/kill\n"
	}
	for name, content := range files {
		path, mode := filepath.Join(root, name), fs.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
}
