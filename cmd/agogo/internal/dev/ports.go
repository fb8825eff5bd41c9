package dev

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// The dev ports (DESIGN 5).
var defaultPorts = map[string]int{
	"scheduler.grpc": 7101, "scheduler.http": 8101,
	"payouts.grpc": 7102, "payouts.http": 8102,
	"recurrences.grpc": 7103, "recurrences.http": 8103,
	"notifier.grpc": 7104, "notifier.http": 8104,
	"nats": 4222, "simulator": 9900,
}

// ports chooses addresses: the default ones, free ones, or the default ones shifted.
type ports struct {
	free  bool
	shift int
}

func parsePorts(s string) (ports, error) {
	switch {
	case s == "" || s == "default":
		return ports{}, nil
	case s == "free":
		return ports{free: true}, nil
	case strings.HasPrefix(s, "+"):
		n, err := strconv.Atoi(s[1:])
		if err == nil && n > 0 && n < 50000 {
			return ports{shift: n}, nil
		}
	}
	return ports{}, fmt.Errorf("--ports takes default, free or +N (N from 1 to 49999), not %q", s)
}

// number is the port of a name; 0 lets the system choose.
func (p ports) number(name string) int {
	if p.free {
		return 0
	}
	return defaultPorts[name] + p.shift
}

func (p ports) addr(name string) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number(name)))
}

// check says which of the fixed ports are taken, before anything is started.
func (p ports) check(ctx context.Context, names ...string) error {
	if p.free {
		return nil
	}
	for _, n := range names {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.addr(n))
		if err != nil {
			return fmt.Errorf("port %d for %s is taken: stop what uses it, or try --ports free or --ports +100", p.number(n), n)
		}
		_ = l.Close()
	}
	return nil
}
