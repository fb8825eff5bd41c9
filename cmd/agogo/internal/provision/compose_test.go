package provision_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
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
