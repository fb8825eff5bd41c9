//go:build apiserver

package apiserver_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ways are how the chart is installed: each profile, and what else changes the kinds that it makes. Keys says how many Secrets the
// first installation makes.
var ways = map[string]struct {
	values []string
	prefix string
	keys   int
	made   map[string]int // how many of a kind, where profiles differ
}{
	"standard": {profile("standard"), "shop-agogo", 12, map[string]int{"PodDisruptionBudget": 5, "StatefulSet": 1}},
	"economy":  {profile("economy"), "shop-agogo", 12, map[string]int{"PodDisruptionBudget": 1, "StatefulSet": 1}},
	"large":    {profile("large"), "shop-agogo", 12, map[string]int{"PodDisruptionBudget": 5, "StatefulSet": 1, "ScaledObject": 2, "HorizontalPodAutoscaler": 1}},
	"external": {[]string{
		"--set", "nats.mode=external,nats.external.url=tls://nats.example.com:4222,nats.external.caSecret=nats-ca,keys.generate=false,tls.source=given,postgres.caSecret=pg-ca",
		"--set", "ingress.enabled=true,ingress.host=hooks.example.com,ingress.tlsSecret=hooks",
	}, "shop-agogo", 0, map[string]int{"StatefulSet": 0, "Ingress": 1}},
	"operators": {[]string{
		"--set", "postgres.mode=cloudnative-pg,tls.source=cert-manager,tls.certManager.issuerRef.name=pay",
		"--set", "monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true,services.payouts.keda.enabled=true,services.notifier.autoscaling.enabled=true",
	}, "shop-agogo", 9, map[string]int{"Cluster": 1, "Certificate": 2, "ServiceMonitor": 1, "ScaledObject": 1, "HorizontalPodAutoscaler": 1}},
	"plaintext": {[]string{"--set", "tls.enabled=false,networkPolicy.enabled=false,fullnameOverride=pay"}, "pay", 9, map[string]int{"NetworkPolicy": 0}},
}

func profile(name string) []string {
	return []string{"-f", filepath.Join(root, "deploy", "helm", "agogo", "profiles", name+".yaml")}
}

func TestTheChartOnARealAPIServer(t *testing.T) {
	c := startControl(t)
	c.defineOperators()
	c.validated()
	c.strict()
	lives := 0
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			lives++
			r := c.release(t, name, way.prefix, way.values...)
			if way.keys == 0 {
				r.liveWithGivenKeys(way.made)
			} else {
				r.live(way.keys, way.made)
			}
		})
	}
	t.Run("a job of the keys that fails", func(t *testing.T) { c.release(t, "failed", "shop-agogo").retried() })
	t.Run("wrong values", func(t *testing.T) { c.release(t, "wrong", "shop-agogo").refused() })
	t.Run("beyond the installer's rights", func(t *testing.T) { c.release(t, "beyond", "shop-agogo").beyond() })
	c.noRightToSpare(lives == len(ways))
}

// live is a whole life: install, test, upgrade twice, roll back, uninstall, install again.
func (r *release) live(keys int, made map[string]int) {
	t := r.t
	if changed := r.keyed(append([]string{"install"}, r.values...)...); len(changed) != keys {
		t.Errorf("keys made: %v, want %d", changed, keys)
	}
	secrets, provisioned := r.names("Secret"), r.names("Job")
	if len(r.names("Deployment")) != 4 || len(provisioned) != 1 {
		t.Errorf("deployments %v, jobs %v", r.names("Deployment"), provisioned)
	}
	r.made(made)
	for _, hooks := range []string{"Role", "RoleBinding"} {
		if left := r.names(hooks); len(left) != 0 {
			t.Errorf("the hook leaves a right behind: %s %v", hooks, left)
		}
	}
	for _, account := range r.names("ServiceAccount") {
		if code, _ := r.call(r.tokenOf(account), http.MethodGet, pathOf("Secret", r.namespace), "", nil); code != http.StatusForbidden {
			t.Errorf("%s may list Secrets: %d", account, code)
		}
	}
	r.tested()
	upgrade := append([]string{"upgrade"}, append(slices.Clone(r.values), "--set", "image.tag=v2")...)
	for range 2 { // the second one changes nothing
		if changed := r.keyed(upgrade...); len(changed) != 0 {
			t.Errorf("an upgrade changed keys: %v", changed)
		}
		now := r.names("Job")
		if len(now) != 1 || now[0] == provisioned[0] {
			t.Errorf("the upgrade provisions not anew: %v, before %v", now, provisioned)
		}
		provisioned = now
	}
	r.waited(upgrade...)
	if changed := r.keyed("rollback", "shop", "1"); len(changed) != 0 {
		t.Errorf("a roll-back changed keys: %v", changed)
	}
	if now := r.names("Job"); len(now) != 1 || now[0] == provisioned[0] {
		t.Errorf("the roll-back provisions not anew: %v, before %v", now, provisioned)
	}
	r.made(made)
	r.uninstalled()
	if now := r.names("Secret"); !slices.Equal(now, secrets) {
		t.Errorf("keys after: %v, before: %v", now, secrets)
	}
	if changed := r.keyed(append([]string{"install"}, r.values...)...); len(changed) != 0 {
		t.Errorf("a second installation changed the first one's keys: %v", changed)
	}
}

// liveWithGivenKeys is the same where the installation makes no keys and so has no hooks.
func (r *release) liveWithGivenKeys(made map[string]int) {
	r.mustHelm(append([]string{"install", "-n", r.namespace}, r.values...)...)
	r.made(made)
	if n := len(r.names("Secret")); n != 0 {
		r.t.Errorf("it made %d Secrets", n)
	}
	r.mustHelm(append([]string{"upgrade", "-n", r.namespace, "--set", "image.tag=v2"}, r.values...)...)
	r.waited(append([]string{"upgrade"}, r.values...)...)
	r.mustHelm("rollback", "shop", "1", "-n", r.namespace)
	r.made(made)
	r.uninstalled()
}

// waited is `helm --wait`, which reads more than it writes. Nothing here gets ready, so it ends by time, and by nothing else.
func (r *release) waited(args ...string) {
	r.t.Helper()
	_, out, err := r.with("Job", r.prefix+"-keys", func(*release, map[string]any) string { return succeeded() }, append(args, "-n", r.namespace, "--wait", "--timeout", "6s")...)
	if err == nil || !strings.Contains(out, "context deadline exceeded") || strings.Contains(out, "forbidden") {
		r.t.Errorf("helm --wait where nothing gets ready: %v\n%s", err, out)
	}
}

func (r *release) made(made map[string]int) {
	r.t.Helper()
	for kind, want := range made {
		if got := r.names(kind); len(got) != want {
			r.t.Errorf("%s: %v, want %d", kind, got, want)
		}
	}
}

// uninstalled holds that nothing stays but what says that it stays.
func (r *release) uninstalled() {
	r.t.Helper()
	r.mustHelm("uninstall", "shop", "-n", r.namespace)
	for kind := range kinds {
		left := r.names(kind)
		if len(left) > 0 && kind != "Secret" && kind != "Cluster" { // keys and books
			r.t.Errorf("%s left: %v", kind, left)
		}
	}
}

// tested runs `helm test`, whose pod does badly, and then does well.
func (r *release) tested() {
	r.t.Helper()
	for _, phase := range []string{"Failed", "Succeeded"} {
		done, out, err := r.with("Pod", r.prefix+"-doctor", func(*release, map[string]any) string { return `{"status": {"phase": "` + phase + `"}}` }, "test", "shop", "-n", r.namespace)
		if done != 1 || (err == nil) != (phase == "Succeeded") {
			r.t.Errorf("helm test whose pod has %s, %d times: %v\n%s", phase, done, err, out)
		}
	}
}

// retried is an installation whose job of the keys fails: nothing starts without keys, and the next try does the whole.
func (r *release) retried() {
	t := r.t
	done, out, err := r.with("Job", r.prefix+"-keys", failed, append([]string{"install", "-n", r.namespace}, r.values...)...)
	if err == nil || done != 1 {
		t.Fatalf("an installation without keys: %d, %v\n%s", done, err, out)
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "Secret"} {
		if got := r.names(kind); len(got) != 0 {
			t.Errorf("%s without keys: %v", kind, got)
		}
	}
	if changed := r.keyed(append([]string{"upgrade", "--install"}, r.values...)...); len(changed) != 12 {
		t.Errorf("keys made by the second try: %v", changed)
	}
	if got := r.names("Deployment"); len(got) != 4 {
		t.Errorf("deployments of the second try: %v", got)
	}
}

// refused are installations with values that nobody meant: refused with the value's name, and nothing is begun.
func (r *release) refused() {
	for set, want := range map[string]string{
		"services.payout.replicas=3":     "payout",
		"defaults.replicas=two":          "replicas",
		"nats.replicas=2":                "replicas",
		"postgres.sslmode=prefer":        "sslmode",
		"nats.bundled.syncInterval=none": "syncInterval",
		"postgres.host=":                 "postgres.host is needed",
	} {
		out, err := r.helm(r.t.Context(), append([]string{"install", "-n", r.namespace, "--set", set}, append(slices.Clone(r.values), "--set", set)...)...)
		if err == nil || !strings.Contains(out, want) {
			r.t.Errorf("--set %s: %v, want a refusal that says %q\n%s", set, err, want, out)
		}
	}
	for kind := range kinds {
		if got := r.names(kind); len(got) != 0 {
			r.t.Errorf("a refused installation has made %s %v", kind, got)
		}
	}
}
