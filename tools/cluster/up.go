package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// needed are the programs of Debian's packages, by package.
var needed = map[string]string{"etcd": "etcd-server", "containerd": "containerd", "runc": "runc", "iptables": "iptables", "nsenter": "util-linux", "ip": "iproute2", "/usr/lib/cni/bridge": "containernetworking-plugins"}

// up brings everything up, in place of whatever an earlier one has left.
func (c cluster) up(ctx context.Context) error {
	for program, from := range needed {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing: apt-get install %s", program, from)
		}
	}
	if err := c.down(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"network", c.network}, {"control plane", c.controlPlane}, {"node", c.node}, {"images", c.images}, {"volumes", c.volumes}, {"Postgres", c.postgres}, {"simulator", c.simulator},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("  %-14s %5.1f s\n", step.name, time.Since(began).Seconds())
	}
	return nil
}

// users are who may ask the API server for what, by token.
var users = map[string]string{
	"admin": "system:masters", "installer": "", "system:kube-controller-manager": "", "system:kube-scheduler": "", "system:kube-proxy": "", "system:node:agogo": "system:nodes", "dns": "system:masters",
}

func (c cluster) controlPlane(ctx context.Context) error {
	var tokens strings.Builder
	for user, group := range users {
		token := rand.Text()
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", token, user, user, group)
		config, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "c", "user": "u"}}},
			"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": "https://" + node + ":6443", "insecure-skip-tls-verify": true}}},
			"users":    []any{map[string]any{"name": "u", "user": map[string]any{"token": token}}},
		})
		if err != nil {
			return err
		}
		if err := c.write("kubeconfig-"+strings.ReplaceAll(user, ":", "-"), string(config)); err != nil {
			return err
		}
	}
	if err := c.write("tokens.csv", tokens.String()); err != nil {
		return err
	}
	if _, err := command(ctx, "openssl", "genrsa", "-out", c.path("sa.key"), "2048"); err != nil {
		return err
	}
	err := errors.Join(
		c.inside(ctx, "etcd", "etcd", "--data-dir", c.path("etcd"), "--unsafe-no-fsync", "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
			"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380", "--log-level", "error"),
		c.inside(ctx, "kube-apiserver", c.tool("kube-apiserver"), "--etcd-servers", "http://127.0.0.1:2379", "--advertise-address", node, "--secure-port", "6443", "--cert-dir", c.path("certs"),
			"--authorization-mode", "Node,RBAC", "--token-auth-file", c.path("tokens.csv"), "--service-cluster-ip-range", access, "--service-account-issuer", "https://kubernetes.default.svc",
			"--service-account-key-file", c.path("sa.key"), "--service-account-signing-key-file", c.path("sa.key"), "--allow-privileged=false", "--profiling=false"),
	)
	if err != nil {
		return err
	}
	if err := c.await(ctx, "kube-apiserver", 2*time.Minute, func() bool { _, err := c.kubectl(ctx, "get", "--raw", "/readyz"); return err == nil }); err != nil {
		return err
	}
	return errors.Join(
		c.inside(ctx, "kube-controller-manager", c.tool("kube-controller-manager"), "--kubeconfig", c.path("kubeconfig-system-kube-controller-manager"), "--leader-elect=false", "--use-service-account-credentials",
			"--service-account-private-key-file", c.path("sa.key"), "--root-ca-file", c.path("certs", "apiserver.crt"), "--cert-dir", c.path("certs", "manager"), "--bind-address", "127.0.0.1"),
		c.inside(ctx, "kube-scheduler", c.tool("kube-scheduler"), "--kubeconfig", c.path("kubeconfig-system-kube-scheduler"), "--leader-elect=false", "--cert-dir", c.path("certs", "scheduler"), "--bind-address", "127.0.0.1"),
	)
}

// kubectl runs kubectl as the cluster's administrator.
func (c cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectlWith(ctx, "", args...)
}

func (c cluster) kubectlWith(ctx context.Context, stdin string, args ...string) (string, error) {
	return commandWith(ctx, []string{"HOME=" + c.dir}, stdin, c.tool("kubectl"), append([]string{"--kubeconfig", c.path("kubeconfig-admin")}, args...)...)
}

// images loads what make has built; there is no registry.
func (c cluster) images(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(c.root, "dist", "cluster", "*", "*", "*.tar"))
	if err != nil || len(files) == 0 {
		return errors.Join(errors.New("there are no images in dist/cluster: make cluster builds them"), err)
	}
	for _, file := range files {
		if _, err := command(ctx, "ctr", "-a", c.path("containerd.sock"), "-n", "k8s.io", "images", "import", file); err != nil {
			return err
		}
	}
	return nil
}

// volumes are folders of the machine that claims are bound to when a pod wants them.
func (c cluster) volumes(ctx context.Context) error {
	manifests := `{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "folders", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
		"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}`
	for i := range 6 { // of two installations one after the other
		dir := c.path("volumes", fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		manifests += fmt.Sprintf("\n---\n"+`{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "folder-%d"}, "spec": {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"],
			"persistentVolumeReclaimPolicy": "Retain", "storageClassName": "folders", "local": {"path": %q}, "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
			{"key": "kubernetes.io/hostname", "operator": "In", "values": ["agogo"]}]}]}}}}`, i, dir)
	}
	_, err := c.kubectlWith(ctx, manifests, "apply", "-f", "-")
	return err
}
