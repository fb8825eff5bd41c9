package natstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
)

const (
	electionTimeout = 30 * time.Second
	pollEvery       = 25 * time.Millisecond // servers tell nobody that they have elected, so tests must ask
)

// Nodes is an in-process cluster of one test.
type Nodes struct {
	t    testing.TB
	opts []*server.Options

	mu      sync.Mutex
	servers []*server.Server // nil while stopped
}

// Cluster starts n servers that form one cluster and returns when it has a leader.
func Cluster(t testing.TB, n int) *Nodes {
	t.Helper()
	c := &Nodes{t: t, servers: make([]*server.Server, n)}
	dir, host := t.TempDir(), ownHost()
	ports := freePorts(t, host, 2*n)
	routes := make([]*url.URL, n)
	for i := range n {
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprintf("%s:%d", host, ports[i])}
	}
	for i := range n {
		c.opts = append(c.opts, &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: host, Port: ports[n+i], NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "test", Host: host, Port: ports[i]}, Routes: routes,
			JetStream: true, StoreDir: filepath.Join(dir, fmt.Sprintf("n%d", i)), DisableJetStreamBanner: true,
			JetStreamMaxStore: 64 << 30, JetStreamMaxMemory: 64 << 20,
		})
	}
	t.Cleanup(c.stopAll)
	for i := range n {
		c.start(i)
	}
	c.WaitReady()
	return c
}

// Conn connects to the cluster, node i first, and reconnects to whichever is there.
func (c *Nodes) Conn(i int) *nats.Conn {
	c.t.Helper()
	urls := make([]string, 0, len(c.opts))
	for k := range c.opts {
		o := c.opts[(i+k)%len(c.opts)]
		urls = append(urls, fmt.Sprintf("nats://%s:%d", o.Host, o.Port))
	}
	return dial(c.t, strings.Join(urls, ","), nats.DontRandomize())
}

// JS is JetStream on a connection of its own.
func (c *Nodes) JS(i int) jetstream.JetStream { return jetStream(c.t, c.Conn(i)) }

// Provision makes every stream and consumer of Agogo, on all nodes.
func (c *Nodes) Provision() {
	c.t.Helper()
	if err := stream.Provision(c.t.Context(), c.JS(0), stream.Options{Replicas: len(c.opts)}); err != nil {
		c.t.Fatal(err)
	}
}

// Leader is the node that leads a stream; it waits until there is one.
func (c *Nodes) Leader(name string) int {
	c.t.Helper()
	leader := -1
	c.await("a leader of "+name, func() bool {
		leader = c.find(func(s *server.Server) bool { return s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, name) })
		return leader >= 0
	})
	return leader
}

// StopLeader stops the node that leads a stream, abruptly for its clients, and tells which it was.
func (c *Nodes) StopLeader(name string) int {
	c.t.Helper()
	i := c.Leader(name)
	c.Stop(i)
	return i
}

// Stop stops a node.
func (c *Nodes) Stop(i int) {
	c.mu.Lock()
	s := c.servers[i]
	c.servers[i] = nil
	c.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// Restart starts a stopped node on the files it had and waits until the cluster is whole.
func (c *Nodes) Restart(i int) {
	c.t.Helper()
	c.start(i)
	c.WaitReady()
}

// WaitReady waits until the running nodes have a leader, know it, and the leader has heard from every one of them: before
// that it finds "no suitable peers" for a stream.
func (c *Nodes) WaitReady() {
	c.t.Helper()
	c.await("a leader of the cluster", func() bool {
		leader := c.find((*server.Server).JetStreamIsLeader)
		return leader >= 0 && c.find(lagging) < 0 && c.heard(leader) == c.running()
	})
}

// heard is how many nodes the leader counts on, itself among them.
func (c *Nodes) heard(leader int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.servers[leader]; s != nil {
		return len(s.JetStreamClusterPeers())
	}
	return 0
}

func (c *Nodes) running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, s := range c.servers {
		if s != nil {
			n++
		}
	}
	return n
}

func lagging(s *server.Server) bool { return !s.JetStreamIsCurrent() }

func (c *Nodes) find(match func(*server.Server) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.servers {
		if s != nil && match(s) {
			return i
		}
	}
	return -1
}

func (c *Nodes) await(what string, done func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), electionTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("no %s after %s", strings.TrimPrefix(what, "a "), electionTimeout)
		}
	}
}

func (c *Nodes) start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.opts[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	c.mu.Lock()
	c.servers[i] = s
	c.mu.Unlock()
}

func (c *Nodes) stopAll() {
	var wg sync.WaitGroup
	for i := range c.opts {
		wg.Go(func() { c.Stop(i) })
	}
	wg.Wait()
}

// ownHost is an address of this machine that nobody else uses, so that no other process can take a port between the moment
// when it was found to be free and the moment when a node listens there, or while a node is stopped. Linux answers on all of
// 127.0.0.0/8; elsewhere there is only the one that everybody shares.
func ownHost() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
}

// freePorts asks the system for ports. A node must keep its own over a restart, so none can listen on "any".
func freePorts(t testing.TB, host string, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at once at the end, so that no port is given out twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
