//go:build apiserver

package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
)

// release is an installation named shop in a namespace of its own, made by who has an installer's rights there.
type release struct {
	*control
	t         *testing.T
	namespace string
	prefix    string   // of the names of its resources
	values    []string // how it is installed
}

// namespace makes a namespace in which the installer has the rights of deploy/helm/installer.yaml.
func (c *control) namespace(name string) {
	c.t.Helper()
	c.must(http.MethodPost, "/api/v1/namespaces", asJSON, `{"metadata": {"name": "`+name+`"}}`)
	c.must(http.MethodPost, pathOf("ServiceAccount", name), asJSON, `{"metadata": {"name": "default"}}`) // a controller's doing
	for _, role := range documents(c.t, filepath.Join(root, "deploy", "helm", "installer.yaml")) {
		of := role["metadata"].(map[string]any)["name"].(string)
		c.must(http.MethodPost, pathOf("Role", name), asJSON, string(marshal(c.t, role)))
		c.must(http.MethodPost, pathOf("RoleBinding", name), asJSON, fmt.Sprintf(`{"metadata": {"name": %q}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": %q},
			"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "installer"}]}`, of, of))
	}
}

func (c *control) release(t *testing.T, namespace, prefix string, values ...string) *release {
	t.Helper()
	own := *c
	own.t = t
	own.namespace(namespace)
	return &release{control: &own, t: t, namespace: namespace, prefix: prefix, values: append([]string{
		"shop", filepath.Join(root, "deploy", "helm", "agogo"), "--set-file", "tenants.file=" + filepath.Join(root, "deploy", "helm", "testdata", "tenants.yaml"),
		"--set", "postgres.host=db.example.com,postgres.admin.existingSecret=pg-admin",
	}, values...)}
}

// helm runs helm as the installer.
func (r *release) helm(ctx context.Context, args ...string) (string, error) {
	kubeconfig := filepath.Join(r.t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": %q}}],
		"clusters": [{"name": "c", "cluster": {"server": %q, "insecure-skip-tls-verify": true}}], "users": [{"name": "u", "user": {"token": %q}}]}`, r.namespace, r.url, installerToken)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "tools", "helm"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HELM_NO_PLUGINS=1", "HOME="+r.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustHelm runs helm where no hook is waited for.
func (r *release) mustHelm(args ...string) {
	r.t.Helper()
	if out, err := r.helm(r.t.Context(), args...); err != nil {
		r.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// hook is what the cluster does with a job or a pod that helm waits for; it returns the status that comes of it.
type hook func(r *release, spec map[string]any) (status string)

// with runs a helm command while the hooks of the given kind and name are done, as the cluster's controllers would, and returns
// how many were.
func (r *release) with(kind, name string, do hook, args ...string) (done int, out string, err error) {
	r.t.Helper()
	path := pathOf(kind, r.namespace) + "/" + name
	seen, _ := r.see(path) // what an earlier try has left
	ctx, cancel := context.WithTimeout(r.t.Context(), 4*time.Minute)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		out, err = r.helm(ctx, args...)
		close(ended)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return done, out, err
		case <-tick.C:
		}
		uid, spec := r.see(path)
		if uid == "" || uid == seen {
			continue
		}
		seen, done = uid, done+1
		r.must(http.MethodPatch, path+"/status", asMerge, do(r, spec))
	}
}

// see reads which object is at a path, if any, and what is asked of it.
func (r *release) see(path string) (uid string, spec map[string]any) {
	r.t.Helper()
	code, raw := r.call(adminToken, http.MethodGet, path, "", nil)
	var o struct {
		Metadata struct{ UID string }
		Spec     map[string]any
	}
	if code != http.StatusOK {
		return "", nil
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		r.t.Fatal(err)
	}
	return o.Metadata.UID, o.Spec
}

// succeeded and failed are what the controller of jobs says of one.
func succeeded() string {
	return ended(`"succeeded": 1`, "SuccessCriteriaMet", "Complete")
}

func failed(*release, map[string]any) string {
	return ended(`"failed": 7`, "FailureTarget", "Failed")
}

func ended(count string, conditions ...string) string {
	now := time.Now().UTC().Format(time.RFC3339)
	var all []string
	for _, c := range conditions {
		all = append(all, fmt.Sprintf(`{"type": %q, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": %q}`, c, now))
	}
	completed := ""
	if slices.Contains(conditions, "Complete") {
		completed = fmt.Sprintf(`"completionTime": %q,`, now)
	}
	return fmt.Sprintf(`{"status": {%s, "startTime": %q, %s "conditions": [%s]}}`, count, now, completed, strings.Join(all, ","))
}

// keyed runs a helm command whose job of the keys is done with the job's own rights; it returns the Secrets that changed.
func (r *release) keyed(args ...string) (changed []string) {
	r.t.Helper()
	done, out, err := r.with("Job", r.prefix+"-keys", func(r *release, spec map[string]any) string {
		changed = r.makeKeys(spec)
		return succeeded()
	}, append(args, "-n", r.namespace)...)
	if err != nil {
		r.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	if done != 1 {
		r.t.Fatalf("helm %s: the job of the keys ran %d times", strings.Join(args, " "), done)
	}
	return changed
}

// makeKeys is `agogo provision secrets` with the arguments and the rights that the chart gives its job; what the job may not do
// is looked at on the way.
func (r *release) makeKeys(spec map[string]any) []string {
	r.t.Helper()
	token := r.tokenOf(r.prefix + "-keys")
	for method, name := range map[string]string{http.MethodGet: "pg-admin", http.MethodDelete: r.prefix + "-keys-payouts"} {
		if code, _ := r.call(token, method, pathOf("Secret", r.namespace)+"/"+name, "", nil); code != http.StatusForbidden {
			r.t.Errorf("the job of the keys may %s %s: %d", method, name, code)
		}
	}
	name, hosts, brokers := "", []string(nil), []string(nil)
	containers := spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
	for _, arg := range containers[0].(map[string]any)["args"].([]any) {
		if v, ok := strings.CutPrefix(arg.(string), "--name="); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(arg.(string), "--host="); ok {
			hosts = strings.Split(v, ",")
		}
		if v, ok := strings.CutPrefix(arg.(string), "--nats-host="); ok {
			brokers = strings.Split(v, ",")
		}
	}
	changed, err := provision.EnsureSecrets(r.t.Context(), &provision.Cluster{URL: r.url, Namespace: r.namespace, Token: token, Client: r.client}, name, time.Now(), hosts, brokers)
	if err != nil {
		r.t.Fatal(err)
	}
	return changed
}

// tokenOf is what a pod of a service account is given.
func (r *release) tokenOf(account string) string {
	r.t.Helper()
	raw := r.must(http.MethodPost, pathOf("ServiceAccount", r.namespace)+"/"+account+"/token", asJSON, `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}`)
	var t struct {
		Status struct{ Token string }
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		r.t.Fatal(err)
	}
	return t.Status.Token
}

// names are those of the installation's resources of a kind.
func (r *release) names(kind string) (names []string) {
	r.t.Helper()
	var list struct {
		Items []struct {
			Metadata struct {
				Name, DeletionTimestamp string
			}
		}
	}
	if err := json.Unmarshal(r.must(http.MethodGet, pathOf(kind, r.namespace), "", ""), &list); err != nil {
		r.t.Fatal(err)
	}
	for _, i := range list.Items {
		if strings.HasPrefix(i.Metadata.Name, r.prefix) && i.Metadata.DeletionTimestamp == "" {
			names = append(names, i.Metadata.Name)
		}
	}
	slices.Sort(names)
	return names
}
