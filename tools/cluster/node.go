package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const containerdConfig = `version = 2
root = %[1]q
state = %[2]q
oom_score = 0
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  sandbox_image = "docker.io/agogopay/pause:one"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %[5]q
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`

const kubeletConfig = `{
	"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
	"authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}}, "authorization": {"mode": "AlwaysAllow"},
	"cgroupDriver": "cgroupfs", "failCgroupV1": false, "failSwapOn": false, "enforceNodeAllocatable": [], "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%%", "imagefs.available": "1%%"},
	"imageGCHighThresholdPercent": 100, "clusterDNS": [%[1]q], "clusterDomain": "cluster.local", "containerRuntimeEndpoint": "unix://%[2]s", "resolvConf": %[3]q,
	"podLogsDir": %[4]q, "volumePluginDir": %[5]q, "address": %[1]q
}`

// corefile answers for the cluster's own names only: the pods here have nobody else to ask for.
const corefile = `.:53 {
	bind %s
	errors
	ready
	kubernetes cluster.local {
		kubeconfig %s
		pods disabled
	}
}
`

// node is what runs the pods: containerd, kubelet, kube-proxy, and CoreDNS beside them.
func (c cluster) node(ctx context.Context) error {
	socket := c.path("containerd.sock")
	err := errors.Join(
		c.write("containerd.toml", fmt.Sprintf(containerdConfig, c.path("containerd"), c.path("containerd-state"), socket, c.path("opt"), c.path("cni"))),
		c.write("kubelet.json", fmt.Sprintf(kubeletConfig, node, socket, c.path("resolv.conf"), c.path("logs", "pods"), c.path("plugins"))),
		c.write("Corefile", fmt.Sprintf(corefile, node, c.path("kubeconfig-dns"))), c.write("resolv.conf", "nameserver "+node+"\n"),
		c.inside(ctx, "containerd", "containerd", "--config", c.path("containerd.toml")),
	)
	if err != nil {
		return err
	}
	if err := c.await(ctx, "containerd", time.Minute, func() bool { _, err := command(ctx, "ctr", "-a", socket, "version"); return err == nil }); err != nil {
		return err
	}
	err = errors.Join(
		c.inside(ctx, "kubelet", c.tool("kubelet"), "--config", c.path("kubelet.json"), "--kubeconfig", c.path("kubeconfig-system-node-agogo"), "--root-dir", c.path("kubelet"), "--hostname-override", "agogo", "--node-ip", node,
			"--cert-dir", c.path("certs", "kubelet")),
		c.inside(ctx, "kube-proxy", c.tool("kube-proxy"), "--kubeconfig", c.path("kubeconfig-system-kube-proxy"), "--proxy-mode", "iptables", "--cluster-cidr", pods, "--hostname-override", "agogo", "--conntrack-max-per-core", "0"),
		c.inside(ctx, "coredns", c.tool("coredns"), "-conf", c.path("Corefile")),
	)
	if err != nil {
		return err
	}
	return c.await(ctx, "kubelet", 2*time.Minute, func() bool {
		out, err := c.kubectl(ctx, "get", "node", "agogo", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		return err == nil && strings.TrimSpace(out) == "True"
	})
}
