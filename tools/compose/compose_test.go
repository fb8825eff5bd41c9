package compose_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

var (
	folder   = filepath.Join("..", "..", "deploy", "docker")
	services = []string{"scheduler", "payouts", "recurrences", "notifier"}
)

// installation is a folder as the steps at the head of the file leave it, as far as the loader reads it.
func installation(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, service := range services {
		if err := os.WriteFile(filepath.Join(dir, service+".secrets.env"), []byte("OF_"+strings.ToUpper(service)+"=secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func source(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func load(t *testing.T, text string, env map[string]string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	file := types.ConfigFile{Filename: filepath.Join(dir, "compose.yaml"), Content: []byte(text)}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: dir, ConfigFiles: []types.ConfigFile{file}, Environment: env})
}

func TestTheFileIsValid(t *testing.T) {
	t.Parallel()
	dir := installation(t)
	p, err := load(t, source(t), map[string]string{"AGOGO_DIR": dir, "AGOGO_USER": "1000:1000"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "agogo" {
		t.Errorf("the project is %q", p.Name)
	}
	want := append([]string{"nats", "postgres", "provision"}, services...)
	slices.Sort(want)
	if got := p.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for name, s := range p.Services {
		checkWhatItIsGiven(t, dir, s)
		if name != "postgres" { // whose image begins as root
			checkConfined(t, s)
		}
	}
	for _, name := range services {
		checkService(t, p.Services[name])
	}
}

// checkWhatItIsGiven holds that nothing of the machine is mounted but the installation's folder and the file beside this one, to be
// read, and that no more may be written than the messages and the rows.
func checkWhatItIsGiven(t *testing.T, dir string, s types.ServiceConfig) {
	t.Helper()
	beside, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Volumes {
		kept := v.Target == "/data" && s.Name == "nats" || v.Type == types.VolumeTypeVolume && s.Name == "postgres"
		if v.ReadOnly == kept {
			t.Errorf("%s: %s read-only: %t", s.Name, v.Target, v.ReadOnly)
		}
		if v.Type == types.VolumeTypeBind && !strings.HasPrefix(v.Source, dir+"/") && v.Source != filepath.Join(beside, "nats.conf") {
			t.Errorf("%s is given %s of the machine", s.Name, v.Source)
		}
	}
	if s.Privileged || len(s.CapAdd) > 0 || s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" {
		t.Errorf("%s has more rights than a container has: %+v", s.Name, s)
	}
	if s.Restart == "" || s.Logging == nil || s.Logging.Options["max-size"] == "" {
		t.Errorf("%s: restart %q, logging %+v", s.Name, s.Restart, s.Logging)
	}
}

func checkConfined(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	if !s.ReadOnly || s.User != "1000:1000" || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("%s: read-only %t, user %q, without %v, %v", s.Name, s.ReadOnly, s.User, s.CapDrop, s.SecurityOpt)
	}
}

// checkService holds that a service is reached where it listens, from this machine alone, as the role and with the secrets that are its
// own, and that it waits for its tables.
func checkService(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	if want := "agogopay/agogo-" + s.Name + ":dev"; s.Image != want {
		t.Errorf("%s runs %s, want %s", s.Name, s.Image, want)
	}
	value := func(name string) string {
		if v := s.Environment[name]; v != nil {
			return *v
		}
		return ""
	}
	published := map[string]bool{}
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("%s: port %s is published at %q", s.Name, port.Published, port.HostIP)
		}
		published[":"+port.Published] = true
	}
	if !published[value("AGOGO_GRPC_ADDR")] || !published[value("AGOGO_HTTP_ADDR")] || len(published) != 2 {
		t.Errorf("%s listens at %s and %s, published are %v", s.Name, value("AGOGO_GRPC_ADDR"), value("AGOGO_HTTP_ADDR"), published)
	}
	if !strings.HasPrefix(value("AGOGO_POSTGRES_DSN"), "postgres://agogo_"+s.Name+"@postgres:5432/agogo?sslmode=verify-full&") {
		t.Errorf("%s: %s", s.Name, value("AGOGO_POSTGRES_DSN"))
	}
	for _, of := range services {
		if given := value("OF_"+strings.ToUpper(of)) == "secret"; given != (of == s.Name) {
			t.Errorf("%s is given the secrets of %s: %t", s.Name, of, given)
		}
	}
	if s.DependsOn["provision"].Condition != types.ServiceConditionCompletedSuccessfully {
		t.Errorf("%s does not wait for its tables: %+v", s.Name, s.DependsOn)
	}
}

// The loader must refuse what Docker would refuse, or the test above says nothing; and the file must ask for what it cannot guess.
func TestWhatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	whole := map[string]string{"AGOGO_DIR": installation(t), "AGOGO_USER": "1000:1000"}
	for name, c := range map[string]struct {
		from, to string
		env      map[string]string
		want     string
	}{
		"misspelt":         {"  read_only: true", "  readonly: true", whole, "readonly"},
		"a wrong type":     {"stop_grace_period: 60s", "stop_grace_period: [60]", whole, "stop_grace_period"},
		"no such service":  {"    provision: {condition", "    provisions: {condition", whole, "provisions"},
		"no such wait":     {"service_completed_successfully", "service_done", whole, "condition"},
		"no such volume":   {"volumes:\n  postgres: {}\n", "", whole, "postgres"},
		"no folder":        {env: map[string]string{"AGOGO_USER": "1000:1000"}, want: "the folder of keys and tenants file"},
		"no user":          {env: map[string]string{"AGOGO_DIR": whole["AGOGO_DIR"]}, want: "the owner of the keys, uid:gid"},
		"no secrets there": {env: map[string]string{"AGOGO_DIR": t.TempDir(), "AGOGO_USER": "1000:1000"}, want: "secrets.env"},
	} {
		text := source(t)
		if c.from != "" && !strings.Contains(text, c.from) {
			t.Errorf("%s: the file has no %q", name, c.from)
		}
		if _, err := load(t, replaced(text, c.from, c.to), c.env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one about %q", name, err, c.want)
		}
	}
}

func replaced(text, from, to string) string {
	if from == "" {
		return text
	}
	return strings.ReplaceAll(text, from, to)
}
