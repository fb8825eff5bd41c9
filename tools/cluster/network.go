package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// The node's network: a namespace with a cable to the machine. Everything that Kubernetes does to addresses, routes and filters
// happens in there and ends with it.
const (
	space  = "agogo-cluster"
	netns  = "/run/netns/" + space
	cable  = "agogo-cluster0"
	host   = "10.213.0.1"    // the machine, seen from the node
	node   = "10.213.0.2"    // the node, seen from the machine
	pods   = "10.214.0.0/24" // of the bridge between the pods
	access = "10.215.0.0/24" // of the services
)

func (c cluster) network(ctx context.Context) error {
	err := each(ctx,
		"ip netns add "+space,
		"ip link add "+cable+" type veth peer name eth0 netns "+space,
		"ip addr add "+host+"/24 dev "+cable,
		"ip link set "+cable+" up",
		"ip -n "+space+" link set lo up",
		"ip -n "+space+" addr add "+node+"/24 dev eth0",
		"ip -n "+space+" link set eth0 up",
		"ip -n "+space+" route add default via "+host,
		"nsenter --net="+netns+" sysctl -qw net.ipv4.ip_forward=1",
	)
	if err != nil {
		return err
	}
	return c.write("cni/10-bridge.conflist", fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "agogo", "plugins": [
		{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
			"ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		{"type": "portmap", "capabilities": {"portMappings": true}}]}`, c.path("addresses"), pods))
}

// unplug takes the node's network away, and the namespaces of pods that nobody has taken away before.
func unplug(ctx context.Context) (err error) {
	for _, of := range podSpaces(ctx) {
		if _, e := command(ctx, "ip", "netns", "delete", of); e != nil {
			err = e
		}
	}
	if _, e := os.Stat(netns); e != nil {
		return err
	}
	if _, e := command(ctx, "ip", "netns", "delete", space); e != nil {
		return e
	}
	return err
}

// podSpaces are the network namespaces whose address is one of our pods'.
func podSpaces(ctx context.Context) (ours []string) {
	all, err := os.ReadDir("/run/netns")
	if err != nil {
		return nil
	}
	prefix := strings.TrimSuffix(pods, "0/24")
	for _, n := range all {
		out, err := command(ctx, "ip", "-n", n.Name(), "-o", "-4", "addr")
		if err == nil && strings.HasPrefix(n.Name(), "cni-") && strings.Contains(out, " "+prefix) {
			ours = append(ours, n.Name())
		}
	}
	return ours
}
