package systemd_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine is this one with an /etc and a /usr/local of its own, a systemctl that only writes down what it is told, and an agogo that
// does the same where a database or a broker would be needed.
type machine struct{ dir string }

// enter gives the installer's shell folders that nobody else sees. Where one of the mounts fails nothing else is done.
const enter = `set -eu
mount --bind "$MACHINE/etc" /etc
mount --bind "$MACHINE/local" /usr/local
exec sh install.sh`

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{t.TempDir()}
	recorder := "#!/bin/sh\necho \"${0##*/} $*\" >> " + m.dir + "/calls\n"
	files := map[string]string{
		"path/systemctl": recorder, "path/sleep": "#!/bin/sh\n", "bin/nats-server": "#!/bin/sh\n",
		"bin/agogo": "#!/bin/sh\ncase \"$1 ${2:-}\" in\n\"provision apply\"|\"doctor \") echo \"agogo $1 ${2:-}\" >> " + m.dir + "/calls; [ ! -e " + m.dir + "/ill ] ;;\n*) exec " + filepath.Join(folder, "agogo") + " \"$@\" ;;\nesac\n",
	}
	for _, service := range services {
		files["bin/"+service] = "#!/bin/sh\n"
	}
	for name, text := range files {
		path := filepath.Join(m.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"etc", "local"} {
		if err := os.Mkdir(filepath.Join(m.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// install runs the whole installer and returns what it told systemd and agogo, in order.
func (m machine) install(t *testing.T) (calls []string, out string, err error) {
	t.Helper()
	_ = os.Remove(filepath.Join(m.dir, "calls")) // there is none the first time
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", enter)
	cmd.Env = append(os.Environ(), "MACHINE="+m.dir, "AGOGO_BIN="+filepath.Join(m.dir, "bin"), "AGOGO_ADMIN_DSN=postgres://admin@localhost/agogo", "PATH="+filepath.Join(m.dir, "path")+":"+os.Getenv("PATH"))
	raw, err := cmd.CombinedOutput()
	told, readErr := os.ReadFile(filepath.Join(m.dir, "calls"))
	if readErr != nil {
		t.Fatalf("%v\n%s", readErr, raw)
	}
	for line := range bytes.Lines(told) {
		calls = append(calls, strings.TrimSpace(string(line)))
	}
	return calls, string(raw), err
}

func (m machine) giveSecrets(t *testing.T) {
	t.Helper()
	for service, text := range map[string]string{
		"payouts":     "ORANGE_CLIENT_ID=a\nORANGE_CLIENT_SECRET=b\nORANGE_POS_ID=c\nORANGE_CALLBACK_AUTH=d\n",
		"recurrences": "CIELO_MERCHANT_ID=a\nCIELO_MERCHANT_KEY=b\n",
	} {
		if err := os.WriteFile(filepath.Join(m.dir, "etc/agogo", service+".secrets.env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The whole installer: nothing is started before its secrets are there, the service that wakes the others is the last, and a broker that
// nothing has changed for is not stopped.
func TestTheInstallerStartsWhatMayStart(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt").CombinedOutput(); err != nil {
		t.Logf("namespaces cannot be made here, so that only the installer's files are tested: %v %s", err, out)
		return
	}
	m := newMachine(t)
	begin := []string{"systemctl daemon-reload", "systemctl restart systemd-journald@agogo.service", "systemctl enable -q agogo.target agogo-nats.service"}
	fresh := append(append([]string{}, begin...), "systemctl restart agogo-nats.service", "agogo provision apply")
	calls, out, err := m.install(t)
	if diff := cmp.Diff(fresh, calls); diff != "" || err == nil || !strings.Contains(out, "no service was started") {
		t.Errorf("without secrets: %v\n%s\n%s", err, out, diff)
	}
	m.giveSecrets(t)
	again := append(append([]string{}, begin...), "systemctl reload-or-restart agogo-nats.service", "agogo provision apply")
	for _, service := range []string{"payouts", "recurrences", "notifier", "scheduler"} {
		again = append(again, "systemctl enable -q agogo@"+service+".service", "systemctl restart agogo@"+service+".service")
	}
	calls, out, err = m.install(t)
	if diff := cmp.Diff(append(again, "agogo doctor"), calls); diff != "" || err != nil || !strings.Contains(out, "Agogo runs.") {
		t.Errorf("with secrets: %v\n%s\n%s", err, out, diff)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "bin/nats-server"), []byte("#!/bin/sh\n# newer\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if calls, out, err = m.install(t); err != nil || !strings.Contains(strings.Join(calls, "\n"), "systemctl restart agogo-nats.service") {
		t.Errorf("a new broker: %v %q\n%s", err, calls, out)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "ill"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if calls, out, err = m.install(t); err == nil || regexp.MustCompile(`agogo@|doctor`).MatchString(strings.Join(calls, "\n")) {
		t.Errorf("a database that cannot be made ready: %v %q\n%s", err, calls, out)
	}
}
