package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/config"
)

func (a *app) provisionAuthCommand() *cobra.Command {
	var keys provision.Keys
	c := leaf("auth", "Print the section of the tenants file that lets the installation's tokens in", exactly(), func(_ *cobra.Command, _ []string) error {
		return keys.Access(a.Out)
	}, "agogo provision auth --dir /etc/agogo/keys >> /etc/agogo/tenants.yaml")
	c.Long = `It holds the tokens' SHA-256 and not the tokens, so that no service knows one: who breaks into a service gets in nowhere else.`
	c.Flags().StringVar(&keys.Dir, "dir", "", "folder that 'agogo provision keys' has made (required)")
	_ = c.MarkFlagRequired("dir")
	return c
}

func (a *app) provisionVariablesCommand() *cobra.Command {
	var path, service string
	c := leaf("variables", "Print the variables that a service needs for the tenants file, one a line", exactly(), func(_ *cobra.Command, _ []string) error {
		if service != "" && !slices.Contains(provision.Services, service) {
			return usagef("--service knows %s, not %q", strings.Join(provision.Services, ", "), service)
		}
		names, err := config.Variables(service, path)
		for _, name := range names {
			fmt.Fprintln(a.Out, name)
		}
		return err
	}, "agogo provision variables --config tenants.yaml --service payouts")
	c.Long = `A service reads its own secrets and nobody else's: payouts those of its providers and the key that reports are signed with, recurrences
those of its gateways, the notifier its push credentials, the scheduler none. Give each no more than this prints.`
	c.Flags().StringVar(&path, "config", a.Getenv("AGOGO_CONFIG"), "the tenants file (AGOGO_CONFIG)")
	c.Flags().StringVar(&service, "service", "", "the service; without it, all of them together")
	return c
}
