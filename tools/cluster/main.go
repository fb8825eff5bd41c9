// Command cluster runs one real Kubernetes node on this machine, out of binaries alone, to show Agogo's chart with pods that run:
// a control plane, a kubelet with containerd, kube-proxy and CoreDNS, in a network namespace of their own. Beside the node, on the
// machine itself, are what Agogo does not bring: a Postgres and the simulated providers.
//
//	cluster up       bring the node up, with the images of dist/cluster, Postgres and the simulator
//	cluster install  install the chart, bundled NATS of three servers, TLS everywhere, and write a context for agogo
//	cluster down     take all of it away, by process id
//
// It needs Linux, root and Debian's packages etcd-server, containerd, runc, containernetworking-plugins and iptables (make cluster
// installs them), and changes nothing of the machine that down does not take back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// cluster is what everything runs in.
type cluster struct {
	dir  string // of everything that is written
	root string // of the repository
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c cluster
	var profile string
	f := flag.NewFlagSet("cluster", flag.ContinueOnError)
	f.StringVar(&c.dir, "dir", "/var/lib/agogo-cluster", "where the node keeps everything; down removes it")
	f.StringVar(&c.root, "root", ".", "the repository")
	f.StringVar(&profile, "profile", "standard", "profile of the chart")
	if len(args) == 0 {
		return errors.New("say up, install or down")
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	root, err := filepath.Abs(c.root)
	if err != nil {
		return err
	}
	c.root = root
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: namespaces, mounts and control groups are made")
	}
	began := time.Now()
	switch args[0] {
	case "up":
		err = c.up(ctx)
	case "install":
		err = c.install(ctx, profile)
	case "down":
		err = c.down(ctx)
	default:
		err = fmt.Errorf("%q is none of up, install, down", args[0])
	}
	if err == nil {
		fmt.Printf("cluster %s: %s\n", args[0], time.Since(began).Round(time.Second))
	}
	return err
}

func (c cluster) path(name ...string) string {
	return filepath.Join(append([]string{c.dir}, name...)...)
}

// tool is a program that make has built.
func (c cluster) tool(name string) string { return filepath.Join(c.root, "bin", "tools", name) }

func (c cluster) write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(c.path(name), []byte(content), 0o600)
}
