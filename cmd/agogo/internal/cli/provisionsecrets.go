package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/clock"
)

func (a *app) provisionSecretsCommand() *cobra.Command {
	var keys provision.Keys
	var name string
	var hosts, brokers []string
	c := leaf("secrets", "Make the keys as Secrets of Kubernetes: print them, or in a pod see to them", exactly(), func(c *cobra.Command, _ []string) error {
		if keys.Dir != "" {
			return a.printSecrets(keys, name)
		}
		if len(brokers) == 0 {
			brokers = hosts
		}
		cluster, err := provision.InCluster(a.Getenv)
		if err != nil {
			return err
		}
		changed, err := provision.EnsureSecrets(c.Context(), cluster, name, clock.Real().Now(), hosts, brokers)
		for _, s := range changed {
			fmt.Fprintf(a.Out, "written: %s\n", s)
		}
		if err == nil {
			fmt.Fprintf(a.Out, "secrets of %s are complete\n", name)
		}
		return err
	}, "agogo provision secrets --dir keys --name agogo | kubectl apply -f -", "agogo provision secrets --name agogo --host agogo-payouts --nats-host agogo-nats   # in a pod that may")
	c.Long = `One Secret for each process with its own keys alone. The chart does this by itself unless it is told not to (keys.generate: false); then
make the keys with 'agogo provision keys', keep them where you keep secrets, and apply what this prints.`
	f := c.Flags()
	f.StringVar(&keys.Dir, "dir", "", "print the keys of this folder; without it, the Secrets of this pod's namespace are completed")
	f.StringVar(&name, "name", "", "what the names of the Secrets begin with: the chart's fullname (required)")
	f.StringSliceVar(&hosts, "host", nil, "in a pod: names that certificates are made for; none: no certificates")
	f.StringSliceVar(&brokers, "nats-host", nil, "in a pod: names that the certificate of NATS is made for instead, so that no service can pose as it")
	_ = c.MarkFlagRequired("name")
	return c
}

func (a *app) printSecrets(keys provision.Keys, name string) error {
	all, err := keys.Secrets(name, exists(keys.Authority()))
	if err != nil {
		return err
	}
	for _, s := range all {
		raw, err := s.Manifest()
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "%s\n---\n", raw)
	}
	return nil
}
