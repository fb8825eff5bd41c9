// Package demo pays the drivers of one evening with everything running on this machine, shows it, and holds the books, the
// provider's book and an independent expectation against each other.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/internal/rpc"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// ErrDiffers says that what happened is not what should have happened; the differences were printed.
var ErrDiffers = errors.New("books, provider and expectation differ")

// Options are the flags of `agogo demo`.
type Options struct {
	Dev     dev.Options
	Once    bool   // end after the report instead of staying open
	Seed    *int64 // a generated evening instead of 24 January 2025
	Out     io.Writer
	Console bool // Out is a terminal: progress is drawn on one line
}

// Run shows the evening. It returns ErrDiffers when anything is not as it should be.
func Run(ctx context.Context, o Options) error {
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
	go func() { ended <- dev.Run(ctx, o.Dev, func(i *dev.Info) { up <- i }) }()
	fmt.Fprintln(o.Out, "Starting Postgres, NATS, the services and the simulator …")
	select {
	case err := <-ended:
		return err
	case info := <-up:
		err := show(ctx, o, info)
		if err == nil && !o.Once {
			fmt.Fprintln(o.Out, "\nEverything stays up until Ctrl-C. Try in another terminal:  agogo payouts list   agogo ledger balances   agogo events tail --follow=false")
			<-ctx.Done()
		}
		cancel()
		return errors.Join(err, <-ended)
	}
}

// demo is a running demonstration.
type demo struct {
	Options
	tenant    string
	scheduler schedulerv1.SchedulerServiceClient
	payouts   payoutsv1.PayoutsServiceClient
	second    payoutsv1.PayoutsServiceClient // as another person, for what takes two
	notifier  notifierv1.NotifierServiceClient
	simulator string
}

func show(ctx context.Context, o Options, info *dev.Info) error {
	d := &demo{Options: o, tenant: "lebenis", simulator: info.Simulator}
	if info.Simulator == "" {
		return errors.New("the demo needs the simulator: it asks its book what money moved")
	}
	close, err := d.connect(info)
	if err != nil {
		return err
	}
	defer close()
	if o.Seed != nil {
		return d.generated(ctx, *o.Seed)
	}
	return d.january(ctx)
}

func (d *demo) connect(info *dev.Info) (func(), error) {
	var conns []*grpc.ClientConn
	var failed error
	dial := func(service, token string) *grpc.ClientConn {
		c, err := rpc.Dial(info.GRPC[service], info.Tokens[token])
		if err != nil {
			failed = errors.Join(failed, err)
			return nil
		}
		conns = append(conns, c)
		return c
	}
	s, p, p2, n := dial("scheduler", "admin"), dial("payouts", "admin"), dial("payouts", "operator"), dial("notifier", "admin")
	if failed == nil {
		d.scheduler, d.payouts = schedulerv1.NewSchedulerServiceClient(s), payoutsv1.NewPayoutsServiceClient(p)
		d.second, d.notifier = payoutsv1.NewPayoutsServiceClient(p2), notifierv1.NewNotifierServiceClient(n)
	}
	return func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}, failed
}

// pauseCron keeps real evenings out of the demonstration.
func (d *demo) pauseCron(ctx context.Context) error {
	r, err := d.scheduler.ListSchedules(ctx, &schedulerv1.ListSchedulesRequest{Tenant: d.tenant, PageSize: 1000})
	if err != nil {
		return err
	}
	for _, s := range r.Items {
		if s.State == "paused" {
			continue
		}
		if _, err := d.scheduler.PauseSchedule(ctx, &schedulerv1.PauseScheduleRequest{Name: s.Name, Reason: "demo: ticks are fired by hand"}); err != nil {
			return err
		}
	}
	return nil
}

// poll asks until done says so; what it waits for is named when time runs out.
func poll(ctx context.Context, within time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%s: not within %s", what, within))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
