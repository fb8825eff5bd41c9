//go:build apiserver

package apiserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// kinds are where the API server keeps what the chart makes: the group's path and the resource.
var kinds = map[string][2]string{
	"ConfigMap": {"/api/v1", "configmaps"}, "Service": {"/api/v1", "services"}, "ServiceAccount": {"/api/v1", "serviceaccounts"}, "Pod": {"/api/v1", "pods"}, "Secret": {"/api/v1", "secrets"},
	"Deployment": {"/apis/apps/v1", "deployments"}, "StatefulSet": {"/apis/apps/v1", "statefulsets"}, "Job": {"/apis/batch/v1", "jobs"},
	"PodDisruptionBudget": {"/apis/policy/v1", "poddisruptionbudgets"}, "HorizontalPodAutoscaler": {"/apis/autoscaling/v2", "horizontalpodautoscalers"},
	"NetworkPolicy": {"/apis/networking.k8s.io/v1", "networkpolicies"}, "Ingress": {"/apis/networking.k8s.io/v1", "ingresses"},
	"Role": {"/apis/rbac.authorization.k8s.io/v1", "roles"}, "RoleBinding": {"/apis/rbac.authorization.k8s.io/v1", "rolebindings"},
	"ServiceMonitor": {"/apis/monitoring.coreos.com/v1", "servicemonitors"}, "PrometheusRule": {"/apis/monitoring.coreos.com/v1", "prometheusrules"},
	"Certificate": {"/apis/cert-manager.io/v1", "certificates"}, "ScaledObject": {"/apis/keda.sh/v1alpha1", "scaledobjects"}, "Cluster": {"/apis/postgresql.cnpg.io/v1", "clusters"},
}

func pathOf(kind, namespace string) string {
	return kinds[kind][0] + "/namespaces/" + namespace + "/" + kinds[kind][1]
}

// documents are the YAML documents of a file.
func documents(t *testing.T, path string) (all []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var m map[string]any
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if m["kind"] != nil {
			all = append(all, m)
		}
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// defineOperators installs the definitions of the kinds that belong to operators, from the operators' own releases.
func (c *control) defineOperators() {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".cache", "crds", "*.yaml"))
	if err != nil || len(files) != 5 {
		c.t.Fatalf("%v, %v: make test/apiserver fetches five definitions", files, err)
	}
	for _, path := range files {
		for _, m := range documents(c.t, path) {
			name := m["metadata"].(map[string]any)["name"].(string)
			c.must(http.MethodPost, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", asJSON, string(marshal(c.t, m)))
			c.eventually(name, func() bool {
				var d struct {
					Status struct {
						Conditions []struct{ Type, Status string }
					}
				}
				if err := json.Unmarshal(c.must(http.MethodGet, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+name, "", ""), &d); err != nil {
					c.t.Fatal(err)
				}
				for _, condition := range d.Status.Conditions {
					if condition.Type == "Established" && condition.Status == "True" {
						return true
					}
				}
				return false
			})
		}
	}
}

// validated has the server judge every manifest that is written down, strictly: a field that it does not know is an error.
func (c *control) validated() {
	t := c.t
	c.namespace("pay")
	files, err := filepath.Glob(filepath.Join(root, "deploy", "helm", "testdata", "*.golden.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%v: %v", files, err)
	}
	judged := map[string]int{}
	for _, path := range files {
		for _, m := range documents(t, path) {
			kind := m["kind"].(string)
			if kinds[kind][0] == "" {
				t.Errorf("%s: nothing is known of %s: add it to kinds, and its definition to tools/crds", filepath.Base(path), kind)
				continue
			}
			name := m["metadata"].(map[string]any)["name"].(string)
			code, answer := c.call(adminToken, http.MethodPatch, pathOf(kind, "pay")+"/"+name+"?fieldManager=test&dryRun=All&fieldValidation=Strict", asApply, marshal(t, m))
			if code/100 != 2 {
				t.Errorf("%s: %s %s: %d %s", filepath.Base(path), kind, name, code, answer)
			}
			judged[kind]++
		}
	}
	for kind := range kinds {
		if judged[kind] == 0 && kind != "Secret" && (kind != "PrometheusRule" || hasRules(t)) { // there are no Secrets in manifests
			t.Errorf("no %s was judged: %v", kind, judged)
		}
	}
}

// hasRules says whether the chart brings rules for Prometheus.
func hasRules(t *testing.T) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "deploy", "helm", "agogo", "files", "prometheus", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files) > 0
}

// strict holds that the judgement is one: a misspelt field, a wrong type and a value out of range are refused, of Kubernetes' own
// kinds and of operators'.
func (c *control) strict() {
	for what, wrong := range map[string]string{
		pathOf("Service", "pay") + "/x":        `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}`,
		pathOf("Deployment", "pay") + "/x":     `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "two"}}`,
		pathOf("ServiceMonitor", "pay") + "/x": `{"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "x"}, "spec": {"selector": {}, "endpoints": [{"ports": "http"}]}}`,
		pathOf("Certificate", "pay") + "/x":    `{"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "x"}, "spec": {"secretName": "x", "issuerRef": {"name": "x"}, "usages": ["everything"]}}`,
		pathOf("ScaledObject", "pay") + "/x":   `{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "x"}, "spec": {"triggers": [{"type": "nats-jetstream"}]}}`,
		pathOf("Cluster", "pay") + "/x":        `{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "x"}, "spec": {"instances": 0, "storage": {"size": "1Gi"}}}`,
	} {
		if code, answer := c.call(adminToken, http.MethodPatch, what+"?fieldManager=test&dryRun=All&fieldValidation=Strict", asApply, []byte(wrong)); code != http.StatusBadRequest && code != http.StatusUnprocessableEntity && code != http.StatusInternalServerError {
			c.t.Errorf("%s was not refused: %d %s", wrong, code, answer)
		}
	}
}
