//go:build chart

package helm_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream"
)

var update = flag.Bool("update", false, "write testdata anew")

var services = []string{"scheduler", "payouts", "recurrences", "notifier"}

// helm runs the pinned helm, which `make test/chart` builds.
func helm(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join("..", "..", "bin", "tools", "helm"), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s%s", args[0], err, errs.String(), out.String())
	}
	return out.String(), nil
}

// needed are the values without which there is no installation.
var needed = []string{"--set-file", "tenants.file=testdata/tenants.yaml", "--set", "postgres.host=db.example.com,postgres.admin.existingSecret=pg-admin"}

func template(args ...string) (string, error) {
	return helm(slices.Concat([]string{"template", "shop", "agogo", "--namespace", "pay"}, needed, args)...)
}

// manifest is a resource as far as tests look at it.
type manifest struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name        string            `yaml:"name"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	Data map[string]string `yaml:"data"`
	Spec struct {
		Template struct {
			Metadata struct {
				Labels map[string]string `yaml:"labels"`
			} `yaml:"metadata"`
			Spec pod `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type pod struct {
	AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
	ShareProcessNamespace        bool  `yaml:"shareProcessNamespace"`
	SecurityContext              struct {
		RunAsNonRoot   bool              `yaml:"runAsNonRoot"`
		SeccompProfile map[string]string `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Containers []container `yaml:"containers"`
	Volumes    []struct {
		Name   string `yaml:"name"`
		Secret struct {
			SecretName string `yaml:"secretName"`
			Items      []struct {
				Key string
			} `yaml:"items"`
		} `yaml:"secret"`
	} `yaml:"volumes"`
}

type container struct {
	Name  string   `yaml:"name"`
	Image string   `yaml:"image"`
	Args  []string `yaml:"args"`
	// EnvFrom are Secrets whose keys become variables.
	EnvFrom []struct {
		SecretRef struct {
			Name string `yaml:"name"`
		} `yaml:"secretRef"`
	} `yaml:"envFrom"`
	Env []struct {
		Name      string         `yaml:"name"`
		Value     string         `yaml:"value"`
		ValueFrom map[string]any `yaml:"valueFrom"`
	} `yaml:"env"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool               `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool                `yaml:"readOnlyRootFilesystem"`
		Capabilities             map[string][]string `yaml:"capabilities"`
	} `yaml:"securityContext"`
	Resources struct {
		Limits map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	VolumeMounts   []mount        `yaml:"volumeMounts"`
	ReadinessProbe map[string]any `yaml:"readinessProbe"`
	LivenessProbe  map[string]any `yaml:"livenessProbe"`
	StartupProbe   map[string]any `yaml:"startupProbe"`
}

type mount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
}

func rendered(t *testing.T, args ...string) []manifest {
	t.Helper()
	text, err := template(args...)
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind != "" {
			all = append(all, m)
		}
	}
}

func find(t *testing.T, all []manifest, kind, name string) manifest {
	t.Helper()
	i := slices.IndexFunc(all, func(m manifest) bool { return m.Kind == kind && strings.HasPrefix(m.Metadata.Name, name) })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	return all[i]
}

// variants are the ways to install that are written down whole: a change of a template shows as a change of these.
var variants = map[string][]string{
	"standard": {"-f", "agogo/profiles/standard.yaml"},
	"economy":  {"-f", "agogo/profiles/economy.yaml"},
	"large":    {"-f", "agogo/profiles/large.yaml"},
	"external": {
		"--set", "nats.mode=external,nats.external.url=tls://nats.example.com:4222,nats.external.caSecret=nats-ca,keys.generate=false,tls.source=given",
		"--set", "postgres.caSecret=pg-ca,image.repository=registry.example.com/pay,image.tag=v1.2.3,image.pullSecrets[0].name=registry,tenants.secrets.payouts[0]=orange,tenants.secrets.recurrences[0]=cielo,tenants.secretFiles.payouts[0]=report-key,tenants.secretFiles.notifier[0]=fcm",
		"--set", "ingress.enabled=true,ingress.host=hooks.example.com,ingress.tlsSecret=hooks,networkPolicy.grpcFrom[0].namespaceSelector.matchLabels.team=pay",
		"--set", "networkPolicy.databaseTo[0].ipBlock.cidr=10.1.2.3/32,networkPolicy.natsTo[0].ipBlock.cidr=10.1.2.4/32",
		"--set", "networkPolicy.webhooksFrom[0].namespaceSelector.matchLabels.team=edge,networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=watch",
	},
	"operators": {
		"--set", "postgres.mode=cloudnative-pg,tls.source=cert-manager,tls.certManager.issuerRef.name=pay,monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true",
		"--set", "services.payouts.keda.enabled=true,services.notifier.autoscaling.enabled=true",
	},
	"plaintext": {"--set", "tls.enabled=false,networkPolicy.enabled=false,fullnameOverride=pay"},
}

func TestTemplatesAreAsWrittenDown(t *testing.T) {
	t.Parallel()
	for name, args := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := template(args...)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("run go test -tags chart ./deploy/helm -update if it is meant (-want +got):\n%s", d)
			}
		})
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"economy", "standard", "large"} {
		if _, err := helm(slices.Concat([]string{"lint", "--strict", "agogo", "-f", "agogo/profiles/" + profile + ".yaml"}, needed)...); err != nil {
			t.Error(err)
		}
	}
}

func TestTheSchemaRefusesWhatNobodyMeant(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"services.payout.replicas=3":               "payout",
		"services.payouts.replica=3":               "replica",
		"defaults.replicas=two":                    "replicas",
		"nats.replicas=2":                          "replicas",
		"nats.mode=internal":                       "mode",
		"nats.maxBytes.EVENT=1GiB":                 "EVENT",
		"nats.maxBytes.EVENTS=lots":                "EVENTS",
		"nats.external.url=nats.example.com":       "url",
		"nats.bundled.syncInterval=never":          "syncInterval",
		"postgres.sslmode=prefer":                  "sslmode",
		"postgres.database=Agogo;":                 "database",
		"tls.source=self":                          "source",
		"defaults.resources.limits.memory=much":    "memory",
		"defaults.log=loud":                        "log",
		"defaults.terminationGracePeriodSeconds=5": "terminationGracePeriodSeconds",
		"tenants.secret=x":                         "secret",
		"fullnameOverride=Pay_Day":                 "fullnameOverride",
		"nats.bundled.servers=1":                   "nats.replicas is 3, and there are nats.bundled.servers 1",
		"postgres.host=":                           "postgres.host is needed",
		"postgres.admin.existingSecret=":           "postgres.admin.existingSecret is needed",
		"nats.mode=external":                       "nats.external.url is needed",
		"tls.source=cert-manager":                  "tls.certManager.issuerRef.name is needed",
		"ingress.enabled=true":                     "ingress.host is needed",
		"services.payouts.keda.enabled=true,services.payouts.autoscaling.enabled=true":         "enable one",
		"nats.mode=external,nats.external.url=tls://n:4222,services.payouts.keda.enabled=true": "nats.external.monitoring is needed",
	} {
		if _, err := template("--set", set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want a refusal that says %q", set, err, want)
		}
	}
	if _, err := helm("template", "shop", "agogo"); err == nil || !strings.Contains(err.Error(), "the tenants file is needed") {
		t.Errorf("without a tenants file: %v", err)
	}
}

// pods are all pods of an installation by the name of what makes them.
func pods(all []manifest) map[string]pod {
	by := map[string]pod{}
	for _, m := range all {
		if len(m.Spec.Template.Spec.Containers) > 0 {
			by[m.Kind+" "+m.Metadata.Name] = m.Spec.Template.Spec
		}
	}
	return by
}

func TestEveryPodIsConfined(t *testing.T) {
	t.Parallel()
	for name, args := range variants {
		all := pods(rendered(t, args...))
		if len(all) < 5 {
			t.Errorf("%s: only %d pods", name, len(all))
		}
		for what, p := range all {
			mayAsk := strings.HasSuffix(what, "-keys") // it makes Secrets
			if !p.SecurityContext.RunAsNonRoot || p.SecurityContext.SeccompProfile["type"] != "RuntimeDefault" || p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken != mayAsk {
				t.Errorf("%s: %s: %+v", name, what, p.SecurityContext)
			}
			for _, c := range p.Containers {
				s := c.SecurityContext
				if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities["drop"], []string{"ALL"}) || c.Resources.Limits["memory"] == "" {
					t.Errorf("%s: %s: %+v, limits %v", name, what, s, c.Resources.Limits)
				}
			}
		}
	}
}

// A service is given its own keys and nobody else's, and settings that it reads.
func TestAServiceIsGivenItsOwn(t *testing.T) {
	t.Parallel()
	for name, args := range variants {
		all := rendered(t, args...)
		for _, svc := range services {
			p := find(t, all, "Deployment", map[bool]string{true: "pay-", false: "shop-agogo-"}[name == "plaintext"]+svc).Spec.Template.Spec
			c := p.Containers[0]
			env := map[string]string{}
			for _, e := range c.Env {
				env[e.Name] = e.Value
				if e.ValueFrom["secretKeyRef"] != nil {
					t.Errorf("%s: %s is given %s of a Secret", name, svc, e.Name)
				}
			}
			for _, v := range p.Volumes {
				for _, other := range append([]string{"provision", "auditor", "tokens"}, services...) {
					if other != svc && strings.HasSuffix(v.Secret.SecretName, "-keys-"+other) {
						t.Errorf("%s: %s is given %s", name, svc, v.Secret.SecretName)
					}
				}
			}
			checkSecrets(t, name+": "+svc, name == "external", svc, p)
			checkEnvironment(t, name+": "+svc, svc, env, c)
			if c.ReadinessProbe == nil || c.LivenessProbe == nil || c.StartupProbe == nil {
				t.Errorf("%s: %s lacks a probe", name, svc)
			}
		}
	}
}

// A Secret that is changed must reach who reads it: files are read again, or are watched by a process that ends to be started anew.
// What is in an environment must be a file too, because an environment does not change.
func TestAChangedSecretReachesWhoReadsIt(t *testing.T) {
	t.Parallel()
	readAgain := []string{"/etc/agogo/tls", "/etc/agogo/nats-ca", "/etc/agogo/postgres-ca", "/etc/agogo/keys/pgpass"}
	for name, args := range variants {
		all := rendered(t, args...)
		for _, svc := range services {
			p := find(t, all, "Deployment", map[bool]string{true: "pay-", false: "shop-agogo-"}[name == "plaintext"]+svc).Spec.Template.Spec
			c, paths := p.Containers[0], map[string]string{}
			for _, v := range p.Volumes {
				for _, m := range c.VolumeMounts {
					if m.Name == v.Name && v.Secret.SecretName != "" {
						paths[v.Secret.SecretName] = m.MountPath
					}
				}
			}
			var watched []string
			for _, e := range c.Env {
				if e.Name == "AGOGO_WATCH" {
					watched = strings.Split(e.Value, ",")
				}
			}
			for _, from := range c.EnvFrom {
				if !slices.Contains(watched, paths[from.SecretRef.Name]) {
					t.Errorf("%s: %s has %s in its environment and does not watch it in %v", name, svc, from.SecretRef.Name, watched)
				}
			}
			for secret, path := range paths {
				if path == "/etc/agogo/keys" {
					path += "/nats.nk"
				}
				if !slices.Contains(watched, path) && !slices.Contains(readAgain, path) {
					t.Errorf("%s: %s is given %s at %s and never looks at it again", name, svc, secret, path)
				}
			}
		}
	}
}

// The reloader sees the server's process and the certificate, and not the key. The server reads the public keys of its users from
// a file, which is read again; an environment is not.
func TestTheReloaderIsGivenNoKey(t *testing.T) {
	t.Parallel()
	for name, args := range variants {
		if name == "external" {
			continue
		}
		p := find(t, rendered(t, args...), "StatefulSet", map[bool]string{true: "pay-", false: "shop-agogo-"}[name == "plaintext"]+"nats").Spec.Template.Spec
		server, reloader := p.Containers[0], p.Containers[1]
		if !p.ShareProcessNamespace || reloader.Name != "reloader" || len(server.EnvFrom) != 0 || len(reloader.EnvFrom) != 0 {
			t.Errorf("%s: sees the process: %t, environments %v and %v", name, p.ShareProcessNamespace, server.EnvFrom, reloader.EnvFrom)
		}
		for _, v := range p.Volumes {
			mounted := slices.ContainsFunc(reloader.VolumeMounts, func(m mount) bool { return m.Name == v.Name })
			whole := len(v.Secret.Items) == 0 || slices.ContainsFunc(v.Secret.Items, func(i struct{ Key string }) bool { return strings.HasSuffix(i.Key, ".key") })
			if mounted && strings.Contains(v.Secret.SecretName, "-tls-") && whole {
				t.Errorf("%s: the reloader is given the key of %s", name, v.Secret.SecretName)
			}
		}
		for _, arg := range reloader.Args {
			for path := range strings.SplitSeq(strings.TrimLeft(arg[strings.Index(arg, "=")+1:], " "), ",") {
				if strings.HasPrefix(path, "/") && !slices.ContainsFunc(reloader.VolumeMounts, func(m mount) bool { return strings.HasPrefix(path+"/", m.MountPath+"/") }) {
					t.Errorf("%s: %s is not mounted", name, arg)
				}
			}
		}
	}
}

// checkSecrets holds that a service is given the hashes of tokens and its own of the tenants file's secrets, and no token.
func checkSecrets(t *testing.T, what string, given bool, service string, p pod) {
	t.Helper()
	environment, files := map[string][]string{}, map[string][]string{}
	if given {
		environment = map[string][]string{"payouts": {"orange"}, "recurrences": {"cielo"}}
		files = map[string][]string{"payouts": {"report-key"}, "notifier": {"fcm"}}
	}
	var got, mounted []string
	for _, from := range p.Containers[0].EnvFrom {
		if !strings.HasSuffix(from.SecretRef.Name, "-keys-hashes") {
			got = append(got, from.SecretRef.Name)
		}
	}
	for _, v := range p.Volumes {
		if strings.HasPrefix(v.Name, "secret-") {
			mounted = append(mounted, v.Secret.SecretName)
		}
	}
	if !slices.Equal(got, environment[service]) || !slices.Equal(mounted, files[service]) {
		t.Errorf("%s is given %v and files of %v, want %v and %v", what, got, mounted, environment[service], files[service])
	}
}

// checkEnvironment lets the service's own reader judge: each setting is known, each path is mounted.
func checkEnvironment(t *testing.T, what, service string, env map[string]string, c container) {
	t.Helper()
	read := map[string]bool{"PGPASSFILE": true, "GOMEMLIMIT": true}
	_, err := config.FromEnv(service, func(key string) string {
		read[key] = true
		v := env[key]
		if !strings.HasPrefix(v, "/") {
			return v
		}
		for path := range strings.SplitSeq(v, ",") {
			if !slices.ContainsFunc(c.VolumeMounts, func(m mount) bool { return strings.HasPrefix(path+"/", m.MountPath+"/") }) {
				t.Errorf("%s: %s is %s, which is not mounted", what, key, path)
			}
		}
		return "chart_test.go" // a file that is there
	})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for key := range env {
		if !read[key] {
			t.Errorf("%s: nothing reads %s", what, key)
		}
	}
}

// No value of a Secret stands in a manifest; the installation refers to them.
func TestThereAreNoSecretsInManifests(t *testing.T) {
	t.Parallel()
	for name, args := range variants {
		for _, m := range rendered(t, args...) {
			if m.Kind == "Secret" {
				t.Errorf("%s: %s is a Secret of the release", name, m.Metadata.Name)
			}
		}
	}
}

// The old systems' machines had 0.5 CPU and 512 MB for what moves money, 0.25 CPU and 256 MB for the rest.
func TestEconomyKeepsToTheOldMachines(t *testing.T) {
	t.Parallel()
	all := rendered(t, variants["economy"]...)
	for svc, want := range map[string]map[string]string{
		"payouts": {"cpu": "500m", "memory": "512Mi"}, "recurrences": {"cpu": "500m", "memory": "512Mi"},
		"scheduler": {"cpu": "250m", "memory": "256Mi"}, "notifier": {"cpu": "250m", "memory": "256Mi"},
	} {
		if d := cmp.Diff(want, find(t, all, "Deployment", "shop-agogo-"+svc).Spec.Template.Spec.Containers[0].Resources.Limits); d != "" {
			t.Errorf("%s (-want +got):\n%s", svc, d)
		}
	}
}

// The broker must be able to read what it is given, with as many users as there are, and sync as production must.
func TestTheBrokerReadsItsConfiguration(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	t.Setenv("SERVER_NAME", "shop-agogo-nats-0")
	for name, routes := range map[string]int{"standard": 3, "economy": 0, "plaintext": 3} {
		all := rendered(t, variants[name]...)
		m := find(t, all, "ConfigMap", map[bool]string{true: "pay-nats", false: "shop-agogo-nats"}[name == "plaintext"])
		for file, text := range m.Data {
			text = strings.NewReplacer("/etc/nats-tls/", dir+"/", "../nats-keys/", "./").Replace(text)
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !o.SyncAlways || len(o.Nkeys) != len(stream.Users()) || len(o.Routes) != routes || (o.TLSConfig != nil) != (name != "plaintext") || o.ServerName != "shop-agogo-nats-0" {
			t.Errorf("%s: always %t, %d users, %d routes, TLS %t", name, o.SyncAlways, len(o.Nkeys), len(o.Routes), o.TLSConfig != nil)
		}
		if routes > 0 && name != "plaintext" && (o.Cluster.TLSConfig == nil || o.Cluster.TLSConfig.ClientAuth == 0) {
			t.Errorf("%s: servers do not prove to each other who they are", name)
		}
	}
}

// keys makes keys and certificates in dir and puts the public ones where the broker looks for them.
func keys(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("go", "run", "../../cmd/agogo", "provision", "keys", "--dir", filepath.Join(dir, "k"), "--host", "localhost,127.0.0.1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for from, to := range map[string]string{"nats.crt": "tls.crt", "nats.key": "tls.key", "ca.crt": "ca.crt"} {
		if err := os.Rename(filepath.Join(dir, "k", "tls", from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	out, err = exec.Command("go", "run", "../../cmd/agogo", "provision", "secrets", "--dir", filepath.Join(dir, "k"), "--name", "x").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for d := yaml.NewDecoder(bytes.NewReader(out)); ; {
		var secret struct {
			Metadata struct{ Name string }
			Data     map[string]string
		}
		if err := d.Decode(&secret); err != nil {
			t.Fatalf("there is no Secret of public keys: %v", err)
		}
		if secret.Metadata.Name == "x-keys-nats" {
			public, err := base64.StdEncoding.DecodeString(secret.Data["keys.conf"])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "keys.conf"), public, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// What the chart configures is three servers that find each other, over TLS on both sides, elect a leader and hold three copies
// of everything; a service's own key lets it in.
func TestTheBundledServersAreACluster(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	m := find(t, rendered(t, variants["standard"]...), "ConfigMap", "shop-agogo-nats")
	var routes, clients [3]string
	for i := range routes {
		routes[i], clients[i] = free(t), free(t)
	}
	probe := find(t, rendered(t, variants["standard"]...), "StatefulSet", "shop-agogo-nats").Spec.Template.Spec.Containers[0].StartupProbe["httpGet"].(map[string]any)["path"].(string)
	var first *server.Server
	for i := range routes {
		text := strings.NewReplacer("/etc/nats-tls/", dir+"/", "/data", filepath.Join(dir, fmt.Sprint(i)), "/run/nats/nats.pid", filepath.Join(dir, fmt.Sprint(i, ".pid")),
			"0.0.0.0:4222", clients[i], "0.0.0.0:6222", routes[i], "0.0.0.0:8222", "127.0.0.1:-1", "max_file_store: 18GB", "max_file_store: 16GB").Replace(m.Data["nats.conf"])
		for j, r := range routes {
			// By name, as on Kubernetes: servers know each other by the names in their certificates.
			text = strings.ReplaceAll(text, fmt.Sprintf("shop-agogo-nats-%d.shop-agogo-nats-headless.pay.svc:6222", j), strings.Replace(r, "127.0.0.1", "localhost", 1))
		}
		t.Setenv("SERVER_NAME", fmt.Sprint("shop-agogo-nats-", i))
		s := serve(t, dir, map[string]string{"nats.conf": text, "nats-accounts.conf": strings.ReplaceAll(m.Data["nats-accounts.conf"], "../nats-keys/", "./")})
		if first == nil {
			first = s
			// Alone it has found no majority. Were that good enough, an upgrade would take the next server before this one has joined.
			if code := ask(t, first, probe); code == http.StatusOK {
				t.Errorf("%s of a server without the others answers %d", probe, code)
			}
		}
	}
	to := process.Server{URL: "tls://" + strings.Join(clients[:], ",tls://"), Creds: filepath.Join(dir, "k", "nats", "provisioner.nk"), CA: filepath.Join(dir, "ca.crt")}
	nc, err := process.Connect(t.Context(), to, stream.Provisioner, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := stream.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Provision(t.Context(), js, stream.Options{Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream.Events)
	if err != nil || s.CachedInfo().Config.Replicas != 3 || len(s.CachedInfo().Cluster.Replicas) != 2 {
		t.Errorf("%v: %+v", err, s)
	}
	// And with the others it gets there, or no installation would.
	for deadline, tick := time.After(time.Minute), time.Tick(100*time.Millisecond); ask(t, first, probe) != http.StatusOK; {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("%s of a server that has everything answers %d", probe, ask(t, first, probe))
		}
	}
	onlyServersJoin(t, dir, routes[0])
}

// ask asks a server what the kubelet asks.
func ask(t *testing.T, s *server.Server, path string) int {
	t.Helper()
	res, err := http.Get("http://" + s.MonitorAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}

// onlyServersJoin knocks at a server's cluster port, behind which no user's rights count: with the services' own certificate, with one
// that the same authority made for a client of another name, and with a server's.
func onlyServersJoin(t *testing.T, dir, route string) {
	t.Helper()
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(filepath.Join(other, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"ca.crt": "ca.crt", "k/tls/ca.key": "ca.key"} {
		raw, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, "tls", to), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "run", "../../cmd/agogo", "provision", "keys", "--dir", other, "--host", "shop-agogo-payouts").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for file, joins := range map[string]bool{filepath.Join(dir, "k", "tls", "grpc"): false, filepath.Join(other, "tls", "nats"): false, filepath.Join(dir, "tls"): true} {
		if answer := knock(t, route, file+".crt", file+".key"); (answer == "PONG") != joins {
			t.Errorf("%s at the cluster port is answered %q", file, answer)
		}
	}
}

// knock says what a server answers to somebody who wants to be one: PONG, or why not.
func knock(t *testing.T, addr, cert, key string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if err := plain.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(plain, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}) // who is asked is not the question here
	if _, err := fmt.Fprintf(conn, "CONNECT {\"name\":\"rogue\",\"cluster\":\"shop-agogo\",\"tls_required\":true}\r\nPING\r\n"); err != nil {
		return err.Error()
	}
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if line = strings.TrimSpace(line); line == "PONG" || strings.HasPrefix(line, "-ERR") {
			return line
		}
	}
}

// serve runs a server from its files until the test ends.
func serve(t *testing.T, dir string, files map[string]string) *server.Server {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// What is installed is looked up, because the size of a volume stops nobody who keeps it: a cluster on a single server's volumes
// begins with empty streams.
// resized is a broker that had servers, with their volumes, and is to have others.
type resized struct {
	is, servers int
	refused     bool
}

func (r resized) has(server string) bool {
	n, err := strconv.Atoi(server)
	return err == nil && n < r.is
}

func TestTheBrokerDoesNotBecomeAClusterOnItsOldVolumes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]resized{
		"one to three": {1, 3, true}, "three to one": {3, 1, true}, "three to five": {3, 5, false}, "five to three": {5, 3, true}, "as it was": {3, 3, false}, "the first time": {0, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.URL.Path == "/version":
					_, _ = io.WriteString(w, `{"major": "1", "minor": "34", "gitVersion": "v1.34.0"}`)
				case r.URL.Path == "/api":
					_, _ = io.WriteString(w, `{"kind": "APIVersions", "versions": ["v1"]}`)
				case r.URL.Path == "/apis":
					_, _ = io.WriteString(w, `{"kind": "APIGroupList", "apiVersion": "v1", "groups": []}`)
				case r.URL.Path == "/api/v1":
					_, _ = io.WriteString(w, `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [{"name": "persistentvolumeclaims", "namespaced": true, "kind": "PersistentVolumeClaim", "verbs": ["get"]}]}`)
				case c.has(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/pay/persistentvolumeclaims/data-shop-agogo-nats-")):
					_, _ = fmt.Fprintf(w, `{"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": %q}}`, path.Base(r.URL.Path))
				default:
					w.WriteHeader(http.StatusNotFound)
					_, _ = io.WriteString(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`)
				}
			}))
			defer api.Close()
			_, err := template("--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", api.URL, "--set", fmt.Sprintf("nats.bundled.servers=%d,nats.replicas=1", c.servers))
			want := fmt.Sprintf("nats.bundled.servers was %d and is %d", c.is, c.servers)
			// What is not refused goes on to kinds that this API does not have.
			if got := err != nil && strings.Contains(err.Error(), want); got != c.refused {
				t.Errorf("refused: %t, want %t: %v", got, c.refused, err)
			}
		})
	}
}

func TestEveryMemoryLimitThatTheSchemaTakesReachesGo(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]string{
		"512Mi": "435MiB", "1Gi": "870MiB", "0.5Gi": "435MiB", "1.5Gi": "1305MiB", "512M": "415MiB", "1G": "810MiB", "524288Ki": "435MiB", "536870912": "435MiB",
		"500000k": "405MiB", `"536870912"`: "435MiB",
	} {
		values := filepath.Join(t.TempDir(), "values.yaml") // where a number is a number, as in everybody's file
		if err := os.WriteFile(values, []byte("services: {payouts: {resources: {limits: {memory: "+limit+"}}}}"), 0o600); err != nil {
			t.Fatal(err)
		}
		all := pods(rendered(t, "-f", values))
		got := ""
		for _, e := range all["Deployment shop-agogo-payouts"].Containers[0].Env {
			if e.Name == "GOMEMLIMIT" {
				got = e.Value
			}
		}
		if got != want {
			t.Errorf("%s: GOMEMLIMIT is %q, want %q", limit, got, want)
		}
	}
	for _, limit := range []string{"512MB", "lots", "1e9"} {
		if _, err := template("--set-string", "services.payouts.resources.limits.memory="+limit); err == nil {
			t.Errorf("%s is taken, and GOMEMLIMIT would not be set", limit)
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// An upgrade and a roll-back provision anew; a template of the same is the same.
func TestProvisioningRunsAnewAtEachUpgrade(t *testing.T) {
	t.Parallel()
	name := func(args ...string) string {
		return find(t, rendered(t, args...), "Job", "shop-agogo-provision-").Metadata.Name
	}
	first := name()
	if again := name(); again != first {
		t.Errorf("%s and %s of the same", first, again)
	}
	for _, set := range []string{"image.tag=v2", "nats.eventsAge=48h", "nats.maxBytes.EVENTS=1GiB"} {
		if name("--set", set) == first {
			t.Errorf("--set %s does not run it anew", set)
		}
	}
	if m := find(t, rendered(t), "Job", "shop-agogo-provision-"); m.Metadata.Annotations["helm.sh/hook"] != "" || !regexp.MustCompile(`^[a-z0-9-]{1,63}$`).MatchString(m.Metadata.Name) {
		t.Errorf("%+v", m.Metadata)
	}
}
