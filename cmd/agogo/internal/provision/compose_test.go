package provision_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/examples"
	"github.com/agogopay/agogo/internal/config"
)

// docker is where the compose file is.
var docker = filepath.Join("..", "..", "..", "..", "deploy", "docker")

// t0 is when the tests' certificates are made.
var t0 = time.Now()

// container is what is looked at of a service of the compose file.
type container struct {
	Image       string            `yaml:"image"`
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	EnvFile     []string          `yaml:"env_file"`
	Command     []string          `yaml:"command"`
	Logging     struct {
		Options map[string]string `yaml:"options"`
	} `yaml:"logging"`
}

func compose(t *testing.T) map[string]container {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(docker, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]container `yaml:"services"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file.Services
}

// Every setting is one that the service reads, and every key that is mounted is one that `agogo provision keys` makes, and the
// service's own.
func TestComposeNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	keys := provision.Keys{Dir: t.TempDir()}
	if err := keys.Make(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Certificates(t0, []string{"nats", "postgres", "grpc"}, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	all := compose(t)
	for _, service := range provision.Services {
		c := all[service]
		if !strings.HasSuffix(c.Image, "/agogo-"+service+":${AGOGO_VERSION:-dev}") || !c.ReadOnly || c.User == "" || len(c.CapDrop) == 0 || c.Logging.Options["max-size"] == "" {
			t.Errorf("%s: %+v", service, c)
		}
		read := map[string]bool{"PGPASSFILE": true}
		mounted := map[string]bool{}
		for _, v := range c.Volumes {
			from, to, _ := strings.Cut(strings.TrimPrefix(v, "${AGOGO_DIR}/"), ":")
			mounted[strings.TrimSuffix(to, ":ro")] = true
			name, isKey := strings.CutPrefix(from, "keys/")
			if _, err := os.Stat(filepath.Join(keys.Dir, name)); isKey && err != nil {
				t.Errorf("%s: %v", service, err)
			}
			for _, other := range provision.Services {
				if other != service && strings.Contains(from, other) {
					t.Errorf("%s is given %s", service, from)
				}
			}
		}
		_, err := config.FromEnv(service, func(name string) string {
			read[name] = true
			if v := c.Environment[name]; !mounted[v] { // the paths are inside the container
				return v
			}
			return "compose_test.go" // a file that is there
		})
		if err != nil {
			t.Errorf("%s: %v", service, err)
		}
		for name := range c.Environment {
			if !read[name] {
				t.Errorf("%s: nothing reads %s", service, name)
			}
		}
	}
}

func TestTheBrokersConfigurationOfComposeIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := provision.Keys{Dir: filepath.Join(dir, "keys")}
	if err := keys.Make(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Certificates(t0, []string{"nats"}, []string{"nats"}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(docker, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(string(raw), "/keys/", keys.Dir+"/tls/")), 0o600); err != nil {
		t.Fatal(err)
	}
	accounts, err := os.Create(filepath.Join(dir, "nats-accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := provision.Accounts(accounts, keys.Public); err != nil {
		t.Fatal(err)
	}
	if err := accounts.Close(); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(conf)
	if err != nil || !o.SyncAlways || o.TLSConfig == nil || len(o.Nkeys) != 6 {
		t.Errorf("%v: %+v", err, o)
	}
}

// The head of the compose file says how to install. It is done as written, without the containers: everything that they are given
// must be there then, and each service must be able to start with its own.
func TestTheHeadOfComposeIsAllThatIsNeeded(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(docker, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "set -eu\n"
	for line := range strings.SplitSeq(string(raw), "\n") {
		if step, ok := strings.CutPrefix(line, "#   "); ok && !strings.Contains(step, "docker compose") {
			script += step + "\n"
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "examples"), 0o755), os.WriteFile(filepath.Join(dir, "examples", "tenants.yaml"), examples.Tenants, 0o644)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "bin")+"/", "github.com/agogopay/agogo/cmd/agogo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	agogo := filepath.Join(dir, "agogo")
	all := compose(t)
	checkProvision(t, filepath.Join(dir, "bin", "agogo"), all["provision"])
	for service, c := range all {
		for _, v := range c.Volumes {
			from, _, _ := strings.Cut(strings.ReplaceAll(v, "${AGOGO_DIR}", agogo), ":")
			if _, err := os.Stat(from); strings.HasPrefix(from, agogo) && err != nil {
				t.Errorf("%s: Docker would make %v, as root", service, err)
			}
		}
		for _, f := range c.EnvFile {
			checkEnvFile(t, service, filepath.Join(agogo, f[strings.LastIndex(f, "/")+1:]), filepath.Join(agogo, "tenants.yaml"))
		}
	}
}

// checkProvision holds that the command is one that there is, and that every setting of it is one that its help names.
func checkProvision(t *testing.T, agogo string, c container) {
	t.Helper()
	out, err := exec.Command(agogo, append(slices.Clone(c.Command), "--help")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "agogo provision apply") {
		t.Fatalf("%v: %v\n%s", c.Command, err, out)
	}
	for name := range c.Environment {
		if name != "PGPASSFILE" && !strings.Contains(string(out), "("+name+")") {
			t.Errorf("provision: nothing reads %s", name)
		}
	}
	if len(c.Environment) < 4 {
		t.Errorf("provision is given %v", c.Environment)
	}
}

// checkEnvFile fills in the values and has the service's own reader judge.
func checkEnvFile(t *testing.T, service, path, tenants string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	env := map[string]string{}
	for _, line := range strings.Fields(string(raw)) {
		env[strings.TrimSuffix(line, "=")] = strings.Repeat("K", 40)
	}
	if env["CIELO_MERCHANT_ID"] != "" {
		env["CIELO_MERCHANT_ID"] = "c4b1d27e-58f0-4e93-9a6d-0f7e2b3c8d15"
	}
	if want := map[string]int{"payouts": 4, "recurrences": 2}[service]; len(env) != want {
		t.Errorf("%s is given %d secrets, want %d", service, len(env), want)
	}
	file, err := config.LoadFor(service, tenants, func(name string) string { return env[name] })
	if err != nil || len(file.Auth.Tokens) != 4 {
		t.Errorf("%s: %v", service, err)
	}
}
