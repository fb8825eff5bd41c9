package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tokens are who is let in, by hashes that the chart makes.
const tokens = `auth:
  tokens:
    - {name: admin, role: admin, tenants: ["*"], token_sha256: "${AGOGO_TOKEN_SHA256_ADMIN}"}
    - {name: operator, role: operator, tenants: ["*"], token_sha256: "${AGOGO_TOKEN_SHA256_OPERATOR}"}
    - {name: approver, role: approver, tenants: ["*"], token_sha256: "${AGOGO_TOKEN_SHA256_APPROVER}"}
    - {name: approver2, role: approver, tenants: ["*"], token_sha256: "${AGOGO_TOKEN_SHA256_APPROVER2}"}
`

// install installs the chart in a namespace named as the profile, as docs/howto/install-on-kubernetes.md says, by who has an
// installer's rights and no others.
func (c cluster) install(ctx context.Context, profile string) error {
	file, err := os.ReadFile(filepath.Join(c.root, "examples", "tenants.yaml"))
	if err != nil {
		return err
	}
	secret := strings.Repeat("K", 40)
	if err := errors.Join(
		c.write("tenants.yaml", strings.ReplaceAll(string(file), "http://127.0.0.1:9900", simulated)+tokens),
		c.secret(ctx, profile, "pg-admin", "--from-literal=password="+password),
	); err != nil {
		return err
	}
	err = errors.Join(
		c.secret(ctx, profile, "pg-ca", "--from-file=ca.crt="+c.path("keys", "tls", "ca.crt")),
		c.secret(ctx, profile, "orange", "--from-literal=ORANGE_CLIENT_ID="+secret, "--from-literal=ORANGE_CLIENT_SECRET="+secret, "--from-literal=ORANGE_POS_ID="+secret, "--from-literal=ORANGE_CALLBACK_AUTH="+secret),
		c.secret(ctx, profile, "cielo", "--from-literal=CIELO_MERCHANT_ID=c4b1d27e-58f0-4e93-9a6d-0f7e2b3c8d15", "--from-literal=CIELO_MERCHANT_KEY="+secret),
	)
	if err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, "-n", profile, "apply", "-f", filepath.Join(c.root, "deploy", "helm", "installer.yaml")); err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, "-n", profile, "create", "rolebinding", "agogo-installer", "--role=agogo-installer", "--user=installer"); err != nil {
		return err
	}
	if _, err := c.helm(ctx, profile, append([]string{"install", "--set", "image.tag=one"}, c.values(profile)...)...); err != nil {
		return err
	}
	return c.reachable(ctx, profile)
}

// secret makes a Secret, and the namespace that it is the first thing of.
func (c cluster) secret(ctx context.Context, namespace, name string, what ...string) error {
	if _, err := c.kubectl(ctx, "get", "namespace", namespace); err != nil {
		if _, err := c.kubectl(ctx, "create", "namespace", namespace); err != nil {
			return err
		}
	}
	_, err := c.kubectl(ctx, append([]string{"-n", namespace, "create", "secret", "generic", name}, what...)...)
	return err
}

// values are how the chart is installed here, for installations and upgrades.
func (c cluster) values(profile string) []string {
	chart := filepath.Join(c.root, "deploy", "helm", "agogo")
	return []string{
		"agogo", chart, "--wait", "--timeout", "10m", "-f", filepath.Join(chart, "profiles", profile+".yaml"), "-f", filepath.Join(c.root, "tools", "cluster", "values.yaml"), "--set-file", "tenants.file=" + c.path("tenants.yaml"),
		"--set", "postgres.host=" + host + ",postgres.port=" + databasePort + ",postgres.database=agogo_" + profile + ",postgres.caSecret=pg-ca,postgres.admin.existingSecret=pg-admin",
		"--set", "tenants.secrets.payouts={orange},tenants.secrets.recurrences={cielo},tls.extraHosts={" + node + "}",
	}
}

func (c cluster) helm(ctx context.Context, namespace string, args ...string) (string, error) {
	env := []string{"KUBECONFIG=" + c.path("kubeconfig-installer"), "HOME=" + c.dir}
	return commandWith(ctx, env, "", c.tool("helm"), append([]string{"-n", namespace}, args...)...)
}

// reachable publishes what the chart keeps inside, as a load balancer would, and writes the context by which agogo finds it.
func (c cluster) reachable(ctx context.Context, namespace string) error {
	info := struct {
		Version   int               `json:"version"`
		GRPC      map[string]string `json:"grpc"`
		GRPCCA    string            `json:"grpc_ca"`
		NATS      map[string]string `json:"nats"`
		Simulator string            `json:"simulator"`
		Tokens    map[string]string `json:"tokens"`
	}{1, map[string]string{}, c.path(namespace, "ca.crt"), map[string]string{"creds": c.path(namespace, "auditor.nk"), "ca": c.path(namespace, "ca.crt")}, simulated, map[string]string{}}
	var manifests strings.Builder
	for i, of := range []string{"nats", "scheduler", "payouts", "recurrences", "notifier"} {
		port := map[bool]int{true: 4222, false: 7100 + i}[i == 0]
		fmt.Fprintf(&manifests, "---\n"+`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside-%[1]s"}, "spec": {"type": "NodePort", "ports": [{"port": %[2]d}],
			"selector": {"app.kubernetes.io/instance": "agogo", "app.kubernetes.io/component": %[1]q}}}`+"\n", of, port)
	}
	if _, err := c.kubectlWith(ctx, manifests.String(), "-n", namespace, "apply", "-f", "-"); err != nil {
		return err
	}
	for _, of := range []string{"nats", "scheduler", "payouts", "recurrences", "notifier"} {
		port, err := c.kubectl(ctx, "-n", namespace, "get", "service", "outside-"+of, "-o", "jsonpath={.spec.ports[0].nodePort}")
		if err != nil {
			return err
		}
		if of == "nats" {
			info.NATS["url"] = "tls://" + node + ":" + port
		} else {
			info.GRPC[of] = node + ":" + port
		}
	}
	for _, name := range []string{"admin", "operator", "approver", "approver2"} {
		token, err := c.secretKey(ctx, namespace, "agogo-keys-tokens", name)
		if err != nil {
			return err
		}
		info.Tokens[name] = token
	}
	ca, err1 := c.secretKey(ctx, namespace, "agogo-tls-grpc", "ca.crt")
	auditor, err2 := c.secretKey(ctx, namespace, "agogo-keys-auditor", "nats.nk")
	raw, err3 := json.MarshalIndent(info, "", "  ")
	if err := errors.Join(err1, err2, err3, c.write(namespace+"/ca.crt", ca), c.write(namespace+"/auditor.nk", auditor), c.write(namespace+"/context.json", string(raw))); err != nil {
		return err
	}
	fmt.Printf("AGOGO_CONTEXT=%s; kubectl --kubeconfig %s -n %s\n", c.path(namespace, "context.json"), c.path("kubeconfig-admin"), namespace)
	return nil
}

func (c cluster) secretKey(ctx context.Context, namespace, name, key string) (string, error) {
	out, err := c.kubectl(ctx, "-n", namespace, "get", "secret", name, "-o", "jsonpath={.data."+strings.ReplaceAll(key, ".", `\.`)+"}")
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(out)
	return string(raw), err
}
