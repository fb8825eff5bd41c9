// Package cli is the command line: every noun of the gRPC services with tables for people and JSON for programs, and the
// commands that run Agogo on one machine.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4
)

// IO is everything the command line touches outside itself.
type IO struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Getenv  func(string) string
	Version string
}

// app is one invocation.
type app struct {
	IO
	tenant  string
	token   string
	output  string
	context string
	clients clients
}

// failed ends with exit 1 after the command has said everything itself.
var errFailed = errors.New("failed")

// errInterrupted is said instead of what a call that was given up came to: nobody has heard its answer.
var errInterrupted = errors.New("interrupted; what was asked for may have been done: look before you ask again")

// usageError ends with exit 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs one command line and returns its exit code.
func Main(ctx context.Context, stdio IO, args []string) int {
	a := &app{IO: stdio}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	c, err := root.ExecuteContextC(ctx)
	a.clients.close()
	var said usageError
	if err != nil && !errors.As(err, &said) && isCobraUsage(err) { // cobra says what is wrong, and nothing of what would be right
		err = usageError{fmt.Errorf("%w\nTry '%s --help'", err, c.CommandPath())}
	}
	if err != nil && ctx.Err() != nil && status.Code(err) != codes.OK && !errors.Is(err, errFailed) {
		err = errInterrupted
	}
	return a.exit(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "agogo",
		Short: "Automated payouts and recurring charges that never pay twice and never miss a beat",
		Long: `Agogo pays people out and charges recurrences on the beat.

Run it on this machine:   agogo demo      one evening, start to end
                          agogo dev       everything, until Ctrl-C
Administer it:            agogo schedules|runs|payouts|payments|payees|batches|recurrences|charges|ledger|…
Audit it:                 agogo events tail

Commands talk to the Agogo that 'agogo dev' started last, or to the one that AGOGO_CONTEXT names (a dev.json file).
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused.`,
		SilenceErrors: true, SilenceUsage: true,
		Version: a.Version,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nTry '%s --help'", err, c.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVar(&a.tenant, "tenant", a.Getenv("AGOGO_TENANT"), "tenant id (AGOGO_TENANT; not needed when there is only one)")
	f.StringVar(&a.token, "token", "", "token or the name of one in the context: admin, operator, approver… (AGOGO_TOKEN; default admin)")
	f.StringVarP(&a.output, "output", "o", "table", "table, or json (protojson with proto names)")
	f.StringVar(&a.context, "context", "", "path of a dev.json (AGOGO_CONTEXT; default: the dev started last)")
	root.AddCommand(
		a.devCommand(), a.demoCommand(), a.simulatorCommand(), a.doctorCommand(),
		a.tenantsCommand(), a.stopCommand(), a.startCommand(),
		a.schedulesCommand(), a.runsCommand(), a.payeesCommand(), a.paymentsCommand(), a.batchesCommand(), a.payoutsCommand(), a.providersCommand(),
		a.recurrencesCommand(), a.chargesCommand(), a.gatewaysCommand(),
		a.breaksCommand(), a.ledgerCommand(), a.reconCommand(), a.floatCommand(), a.devicesCommand(), a.notificationsCommand(),
		a.eventsCommand(), a.auditCommand(), a.dlqCommand(), a.restoreCommand(), a.provisionCommand(),
	)
	return root
}

// noun makes a command that only groups others; used alone or with an unknown verb it is a usage error, not a success.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("%s has no command %q\nTry '%s --help'", c.CommandPath(), args[0], c.CommandPath())
		}
		_ = c.Help()
		return usagef("name a command: %s …", c.CommandPath())
	}}
	c.AddCommand(verbs...)
	return c
}

// exactly demands n arguments and says which.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			wants := strings.Join(names, " ")
			if wants == "" {
				wants = "no arguments"
			}
			return usagef("%s wants %s, got %d argument(s)\nTry '%s --help'", c.CommandPath(), wants, len(args), c.CommandPath())
		}
		return nil
	}
}

func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	var usage usageError
	switch {
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintln(a.Err, "agogo:", err)
		return exitUsage
	}
	st, ok := status.FromError(err)
	if !ok {
		fmt.Fprintln(a.Err, "agogo:", err)
		return exitFailed
	}
	fmt.Fprintln(a.Err, "agogo:", a.ofTenant(explain(st)))
	if st.Code() == codes.Unauthenticated {
		a.sayTokens()
	}
	switch st.Code() {
	case codes.NotFound:
		return exitNotFound
	case codes.FailedPrecondition, codes.PermissionDenied, codes.Unauthenticated, codes.Aborted, codes.AlreadyExists:
		return exitRefused
	case codes.InvalidArgument:
		return exitUsage
	default:
		return exitFailed
	}
}

// isCobraUsage recognises cobra's own complaints, which have no type.
func isCobraUsage(err error) bool {
	for _, p := range []string{"unknown command", "required flag", "accepts ", "requires at least", "invalid argument"} {
		if strings.HasPrefix(err.Error(), p) {
			return true
		}
	}
	return false
}
