package systemd_test

import (
	"bufio"
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
func install(t *testing.T) (root string, again func()) {
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
	again = func() {
		t.Helper()
		cmd := exec.Command("sh", "install.sh", "--files")
		cmd.Env = append(os.Environ(), "DESTDIR="+root, "AGOGO_BIN="+bin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
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
	env := environment(all["/etc/agogo/secrets.env"])
	file, err := config.Load(filepath.Join(root, "etc/agogo/tenants.yaml"), func(name string) string {
		switch {
		case env[name] != "":
			return env[name]
		case name == "CIELO_MERCHANT_ID":
			return "c4b1d27e-58f0-4e93-9a6d-0f7e2b3c8d15"
		default:
			return strings.Repeat("x", 40)
		}
	})
	if err != nil || len(file.Auth.Tokens) != 4 {
		t.Errorf("tenants file: %v", err)
	}
}

func environment(text string) map[string]string {
	env := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), "="); ok {
			env[k] = v
		}
	}
	return env
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
