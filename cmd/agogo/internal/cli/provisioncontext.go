package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/stream"
)

// contextOf is what `provision context` is given.
type contextOf struct {
	keys      provision.Keys
	host      string
	nats      string
	simulator string
	plaintext bool
	grpc      map[string]string
}

func (a *app) provisionContextCommand() *cobra.Command {
	var of contextOf
	c := leaf("context", "Print the context by which the other commands find an installation of separate processes", exactly(), func(_ *cobra.Command, _ []string) error {
		info, err := of.info()
		if err != nil {
			return err
		}
		raw, err := json.MarshalIndent(info, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(a.Out, string(raw))
		return nil
	}, "agogo provision context --dir /etc/agogo/keys --host localhost > ~/agogo.json   # then AGOGO_CONTEXT=~/agogo.json")
	c.Long = `It holds the installation's tokens: keep it readable by its owner only.`
	f := c.Flags()
	f.StringVar(&of.keys.Dir, "dir", "", "folder that 'agogo provision keys' has made (required)")
	f.StringVar(&of.host, "host", "localhost", "where the services listen, on their default ports")
	f.StringToStringVar(&of.grpc, "grpc", nil, "addresses of services that listen elsewhere, such as payouts=10.0.0.7:7102")
	f.StringVar(&of.nats, "nats-url", "", "NATS (default: port 4222 of the host)")
	f.StringVar(&of.simulator, "simulator", "", "address of a simulator, for agogo demo --installed")
	f.BoolVar(&of.plaintext, "plaintext", false, "gRPC and NATS are not encrypted")
	_ = c.MarkFlagRequired("dir")
	return c
}

func (of contextOf) info() (*dev.Info, error) {
	info := &dev.Info{Version: 1, GRPC: map[string]string{}, HTTP: map[string]string{}, Simulator: of.simulator}
	for service, number := range map[string]string{"scheduler": "1", "payouts": "2", "recurrences": "3", "notifier": "4"} {
		info.GRPC[service] = net.JoinHostPort(of.host, "710"+number)
		info.HTTP[service] = net.JoinHostPort(of.host, "810"+number)
	}
	for service, addr := range of.grpc {
		if _, known := info.GRPC[service]; !known {
			return nil, usagef("--grpc knows %s, not %q", strings.Join(dev.Services, ", "), service)
		}
		info.GRPC[service] = addr
	}
	dir, err := filepath.Abs(of.keys.Dir)
	if err != nil {
		return nil, err
	}
	of.keys.Dir = dir
	if info.Tokens, err = of.keys.Tokens(); err != nil {
		return nil, err
	}
	info.NATS = dev.NATS{URL: of.nats, Creds: of.keys.NATS(stream.Auditor)}
	scheme := "nats"
	if !of.plaintext {
		scheme, info.GRPCCA = "tls", "system"
		if ca := of.keys.Authority(); exists(ca) {
			info.GRPCCA, info.NATS.CA = ca, ca
		}
	}
	if info.NATS.URL == "" {
		info.NATS.URL = scheme + "://" + net.JoinHostPort(of.host, "4222")
	}
	return info, nil
}
