package debian_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a Debian whose apt-get, dpkg and systemctl only write down what they are told.
type machine struct {
	t              *testing.T
	dir, bin       string
	policy, called string
}

// fakes are its programs. The policy that holds while packages are installed is asked as invoke-rc.d does it.
var fakes = map[string]string{
	"apt-get": `echo "apt-get $*" >> "$CALLED"; [ "$1" = update ] && exit; sh "$POLICY_RC_D"; echo "policy $?" >> "$CALLED"; [ -z "$APT_FAILS" ] || { echo "E: no such package"; exit 100; }
echo new >> "$DIR/packages"; : > "$DIR/there"`,
	"dpkg-query": `cat "$DIR/packages"`,
	"dpkg":       `echo "/usr/lib/systemd/system/$2.service"; echo /usr/bin/"$2"`,
	"systemctl":  `echo "systemctl $*" >> "$CALLED"`,
	"id":         `echo "${FAKE_UID:-0}"`,
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, dir: dir, bin: filepath.Join(dir, "bin"), policy: filepath.Join(dir, "policy-rc.d"), called: filepath.Join(dir, "called")}
	if err := os.Mkdir(m.bin, 0o700); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(dir, "packages"), "old\n")
	m.write(m.called, "")
	for name, text := range fakes {
		m.write(filepath.Join(m.bin, name), "#!/bin/sh\n"+text+"\n")
	}
	return m
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		m.t.Fatal(err)
	}
}

// install runs the script for one package whose file is there as soon as it is installed.
func (m *machine) install(env ...string) (said string, err error) {
	m.t.Helper()
	cmd := exec.Command("sh", "install.sh", "new="+filepath.Join(m.dir, "there*"), "shell=sh")
	cmd.Env = append([]string{"PATH=" + m.bin + ":" + os.Getenv("PATH"), "DIR=" + m.dir, "CALLED=" + m.called, "POLICY_RC_D=" + m.policy}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func (m *machine) calls() string {
	m.t.Helper()
	raw, err := os.ReadFile(m.called)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(raw)
}

func TestNothingIsInstalledUnasked(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	said, err := m.install()
	if err == nil || !strings.Contains(said, "not there: new\n") || !strings.Contains(said, "INSTALL=1") || m.calls() != "" {
		t.Errorf("got %v, said %q, called %q", err, said, m.calls())
	}
	if said, err := m.install("INSTALL=1", "FAKE_UID=1000"); err == nil || !strings.Contains(said, "needs root") || m.calls() != "" {
		t.Errorf("without root: %v, said %q, called %q", err, said, m.calls())
	}
}

func TestWhatIsInstalledIsSaidAndNotStarted(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	said, err := m.install("INSTALL=1")
	if err != nil || said != "installing with apt-get, which takes a minute or two: new\n" {
		t.Errorf("got %v, said %q", err, said)
	}
	want := "apt-get update -q\napt-get install -qy --no-install-recommends new\npolicy 101\nsystemctl disable --quiet new.service\n"
	if m.calls() != want {
		t.Errorf("called %q, want %q", m.calls(), want)
	}
	m.without(m.policy)
	if said, err := m.install("INSTALL=1"); err != nil || said != "" || m.calls() != want {
		t.Errorf("the second time: %v, said %q, called %q", err, said, m.calls())
	}
}

func TestAFailureIsToldAndLeavesNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	if said, err := m.install("INSTALL=1", "APT_FAILS=1"); err == nil || !strings.Contains(said, "E: no such package") || !strings.Contains(said, "could not be installed: new") {
		t.Errorf("got %v, said %q", err, said)
	}
	m.without(m.policy)
}

// A policy of the machine's own stays; one that a killed installation left would keep every package from starting anything for ever.
func TestPoliciesThatAreThere(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const own = "#!/bin/sh\nexit 0\n"
	m.write(m.policy, own)
	if _, err := m.install("INSTALL=1"); err != nil {
		t.Error(err)
	}
	if raw, err := os.ReadFile(m.policy); err != nil || string(raw) != own {
		t.Errorf("the machine's policy is %q, %v", raw, err)
	}
	left := newMachine(t)
	left.write(left.policy, "#!/bin/sh\n# of agogo tools/debian/install.sh, while it installs\nexit 101\n")
	if _, err := left.install("INSTALL=1"); err != nil {
		t.Error(err)
	}
	left.without(left.policy)
}

func (m *machine) without(path string) {
	m.t.Helper()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		m.t.Errorf("%s is left: %v", filepath.Base(path), err)
	}
}

// Whoever installs packages goes through the script.
func TestNobodyElseInstalls(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"../../Makefile", "../../.ci/run"} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "apt-get") || !strings.Contains(string(raw), "tools/debian/install.sh") {
			t.Errorf("%s installs by itself, or not at all", path)
		}
	}
}
