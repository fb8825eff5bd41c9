//go:build apiserver

package apiserver_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// beyond holds that the installer may not do what an installation does not need.
func (r *release) beyond() {
	for what, path := range map[string]string{
		"list the Secrets of another namespace": "/api/v1/namespaces/kube-system/secrets",
		"list namespaces":                       "/api/v1/namespaces",
		"list nodes":                            "/api/v1/nodes",
		"list cluster roles":                    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"list definitions of kinds":             "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	} {
		if code, _ := r.call(installerToken, http.MethodGet, path, "", nil); code != http.StatusForbidden {
			r.t.Errorf("the installer may %s: %d", what, code)
		}
	}
	// A role with more than the installer has would be a way to have more.
	more := `{"metadata": {"name": "more"}, "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]}`
	if code, _ := r.call(installerToken, http.MethodPost, pathOf("Role", r.namespace), asJSON, []byte(more)); code != http.StatusForbidden {
		r.t.Errorf("the installer may make a role that has more than it: %d", code)
	}
	// Where its namespace is nobody's, it installs nothing.
	r.must(http.MethodPost, "/api/v1/namespaces", asJSON, `{"metadata": {"name": "strange"}}`)
	if out, err := r.helm(r.t.Context(), append([]string{"install", "-n", "strange"}, r.values...)...); err == nil || !strings.Contains(out, "forbidden") {
		r.t.Errorf("an installation into a namespace without rights: %v\n%s", err, out)
	}
}

// right is one verb on one resource.
type right struct{ group, resource, verb string }

// noRightToSpare holds the rights of deploy/helm/installer.yaml against what the server says the installer asked for in all the
// lives above: nothing needed was refused, or they would have ended, and nothing is granted that nobody needed. Where only some of
// the lives were asked for (-run), others may need what these did not.
func (c *control) noRightToSpare(all bool) {
	t := c.t
	if t.Failed() {
		return // installations that ended early have not asked for everything
	}
	used := c.asked("installer")
	if !all {
		t.Log("only some ways to install were asked for: whether rights are to spare is not looked at")
		return
	}
	granted := map[right]bool{}
	for _, role := range documents(t, filepath.Join(root, "deploy", "helm", "installer.yaml")) {
		var r struct {
			Rules []struct {
				APIGroups, Resources, Verbs []string
			}
		}
		if err := json.Unmarshal(marshal(t, role), &r); err != nil {
			t.Fatal(err)
		}
		for _, rule := range r.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						granted[right{group, resource, verb}] = true
					}
				}
			}
		}
	}
	for g := range granted {
		if !used[g] && (g.resource != "prometheusrules" || hasRules(t)) {
			t.Errorf("deploy/helm/installer.yaml grants what no installation asked for: %s %s of %q", g.verb, g.resource, g.group)
		}
	}
	if len(granted) < 50 {
		t.Errorf("only %d rights were looked at", len(granted))
	}
}

// trespassed are the namespaces in which the test looks for what is refused.
var trespassed = []string{"beyond", "strange", "kube-system"}

// asked are the rights that a user made use of, by the server's own record of requests.
func (c *control) asked(user string) map[right]bool {
	c.t.Helper()
	f, err := os.Open(c.path("audit.log"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	used := map[right]bool{{"", "secrets", "patch"}: true} // who grants it to the job of the keys must have it
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Verb           string
			User           struct{ Username string }
			ObjectRef      struct{ Resource, APIGroup, Namespace string }
			ResponseStatus struct{ Code int }
			Annotations    map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			c.t.Fatal(err)
		}
		of := e.ObjectRef
		if e.User.Username != user || of.Namespace == "" || slices.Contains(trespassed, of.Namespace) {
			continue
		}
		switch allowed := e.Annotations["authorization.k8s.io/decision"] == "allow"; {
		case allowed:
			used[right{of.APIGroup, of.Resource, e.Verb}] = true
			if e.Verb == "patch" && e.ResponseStatus.Code == http.StatusCreated { // the server asks for this one apart
				used[right{of.APIGroup, of.Resource, "create"}] = true
			}
		case of.Resource != "namespaces": // helm looks whether its namespace is there, and goes on without an answer
			c.t.Errorf("the installer was refused what helm wanted: %s %s of %q in %s", e.Verb, of.Resource, of.APIGroup, of.Namespace)
		}
	}
	if err := lines.Err(); err != nil {
		c.t.Fatal(err)
	}
	return used
}
