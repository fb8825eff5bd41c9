// Package demo runs both tenants of the examples side by side with everything on this machine, shows what happens, and holds
// the books, the providers' books and independent expectations against each other: the drivers of one evening in Abidjan are
// paid, and a club in São Paulo charges its members.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// ErrDiffers says that what happened is not what should have happened; the differences were printed.
var ErrDiffers = errors.New("books, providers and expectations differ")

// Options are the flags of `agogo demo`.
type Options struct {
	Dev     dev.Options
	Once    bool   // end after the report instead of staying open
	Seed    *int64 // a generated evening and a generated week instead of the examples
	Out     io.Writer
	Console bool // Out is a terminal: progress is drawn on one line
	// Installed is an installation that is up already, with the examples' tenants and nothing of theirs yet; nil starts one.
	Installed *dev.Info
}

const hint = `
Everything stays up until Ctrl-C. Try in another terminal:
  agogo payouts list --tenant lebenis         agogo recurrences list --tenant wallclub
  agogo ledger balances --tenant lebenis      agogo charges list --tenant wallclub
  agogo events tail --follow=false`

// Run shows both tenants. It returns ErrDiffers when anything is not as it should be.
func Run(ctx context.Context, o Options) error {
	if o.Installed != nil {
		return showInstalled(ctx, o)
	}
	o.Dev.Sealed = true // the payments are invented: they must not meet a real provider, whatever the options say
	if o.Dev.DataDir == "" {
		dir, err := os.MkdirTemp("", "agogo-demo-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.Dev.DataDir, o.Dev.Yields = filepath.Join(dir, "data"), true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, ended := make(chan *dev.Info, 1), make(chan error, 1)
	go func() {
		ended <- dev.Run(ctx, o.Dev, func(i *dev.Info) { up <- i })
		cancel() // whatever waits for an answer of it need not wait any longer
	}()
	fmt.Fprintln(o.Out, "Starting Postgres, NATS, the services and the simulator …")
	select {
	case err := <-ended:
		return err
	case info := <-up:
		err := show(ctx, o, info)
		if err == nil && !o.Once {
			fmt.Fprintln(o.Out, hint)
			<-ctx.Done()
		}
		cancel()
		return cause(err, <-ended)
	}
}

// cause tells why the demo ended: when its installation fell, what was being shown failed only for that.
func cause(shown, ended error) error {
	if ended != nil && errors.Is(shown, context.Canceled) {
		return ended
	}
	return errors.Join(shown, ended)
}

// showInstalled shows both tenants on an installation that somebody else has started. The payments are invented, so every tenant
// of it must be in the sandbox, by the installation's own word.
func showInstalled(ctx context.Context, o Options) error {
	conn, err := o.Installed.Dial(o.Installed.GRPC["payouts"], o.Installed.Tokens["admin"])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r, err := payoutsv1.NewPayoutsServiceClient(conn).ListTenants(ctx, &payoutsv1.ListTenantsRequest{})
	if err != nil {
		return err
	}
	for _, t := range r.GetItems() {
		if t.GetMode() != "sandbox" {
			return fmt.Errorf("tenant %s is %s: the demo's payments are invented, and go to sandbox tenants only", t.GetId(), t.GetMode())
		}
	}
	return show(ctx, o, o.Installed)
}

func show(ctx context.Context, o Options, info *dev.Info) error {
	if info.Simulator == "" {
		return errors.New("the demo needs the simulator: it asks its book what money moved")
	}
	l := &line{info: info}
	defer l.hangUp()
	tell := func(tenant, service string, out io.Writer, console bool) story {
		return story{
			out: out, console: console, tenant: tenant, service: service, simulator: info.Simulator,
			scheduler: schedulerv1.NewSchedulerServiceClient(l.to("scheduler")), notifier: notifierv1.NewNotifierServiceClient(l.to("notifier")),
			ledger: ledgerv1.NewLedgerServiceClient(l.to(service)),
		}
	}
	later := &held{to: o.Out}
	d := &drivers{tell("lebenis", "payouts", o.Out, o.Console), payoutsv1.NewPayoutsServiceClient(l.to("payouts"))}
	c := &club{tell("wallclub", "recurrences", later, false), recurrencesv1.NewRecurrencesServiceClient(l.to("recurrences"))}
	if l.failed != nil {
		return l.failed
	}
	first, second := d.january, c.october
	if o.Seed != nil {
		first = func(ctx context.Context) error { return d.generated(ctx, *o.Seed) }
		second = func(ctx context.Context) error { return c.generated(ctx, *o.Seed) }
	}
	return together(ctx, later, first, second)
}

// together lets two stories happen at once. The second one is told when the first one has been.
func together(ctx context.Context, later *held, first, second func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- second(ctx) }()
	err := first(ctx)
	return errors.Join(err, later.release(), <-ended)
}

// line connects to services and remembers what to close, and the first failure.
type line struct {
	info   *dev.Info
	conns  []*grpc.ClientConn
	failed error
}

func (l *line) to(service string) *grpc.ClientConn {
	c, err := l.info.Dial(l.info.GRPC[service], l.info.Tokens["admin"])
	if err != nil {
		l.failed = errors.Join(l.failed, fmt.Errorf("%s: %w", service, err))
		return nil
	}
	l.conns = append(l.conns, c)
	return c
}

func (l *line) hangUp() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}
