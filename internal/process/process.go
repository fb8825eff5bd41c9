// Package process is what the mains of all services share: environment, configuration, telemetry, signals and the
// connection to NATS, made before the service and ended after it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/renewal"
	"github.com/agogopay/agogo/internal/telemetry"
)

// Exit codes of a service.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitMisused = 2 // environment or configuration: starting again without a change cannot help
)

const shutdownBudget = 5 * time.Second

// Process is what a service's main gets.
type Process struct {
	Env       config.Process
	File      *config.File
	Telemetry *telemetry.Telemetry
	Logger    *slog.Logger
	Auth      auth.Authenticator
	Clock     clock.Clock
	NATS      *nats.Conn

	watch *watch
}

// Main runs a service until SIGINT or SIGTERM, or until run returns, and returns the exit code. A second signal ends the
// process at once. It reads nothing but the environment of DESIGN 5. check is what the service itself asks of a tenants file before
// it runs: a process ends for changed settings only when they pass it.
func Main(ctx context.Context, service string, check func(*config.File) error, run func(ctx context.Context, p *Process) error) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // gives the second signal its usual effect back
	return start(ctx, service, os.Getenv, os.Stderr, check, run)
}

func start(ctx context.Context, service string, getenv func(string) string, stderr io.Writer, check func(*config.File) error, run func(context.Context, *Process) error) int {
	RelaxCollector(getenv)
	p, err := load(ctx, service, getenv, stderr, check)
	if err != nil {
		// There is no logger yet, and whoever started it by hand is looking.
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", service, telemetry.Mask(err.Error()))
		return ExitMisused
	}
	defer p.flush(ctx)
	if p.NATS, err = Connect(ctx, p.server(), service, p.Logger); err == nil {
		err = p.run(ctx, run)
	}
	if err != nil {
		p.Logger.ErrorContext(ctx, "failed", "error", err)
		return ExitFailed
	}
	return ExitDone
}

func load(ctx context.Context, service string, getenv func(string) string, stderr io.Writer, check func(*config.File) error) (*Process, error) {
	env, err := config.FromEnv(service, getenv)
	if err != nil {
		return nil, err
	}
	began, err := renewal.Take(env.Watch)
	if err != nil {
		return nil, fmt.Errorf("AGOGO_WATCH: %w", err)
	}
	file, err := config.LoadFor(service, env.ConfigPath, getenv)
	if err != nil {
		return nil, err
	}
	who, err := auth.NewStatic(file.Auth.Tokens)
	if err != nil {
		return nil, err
	}
	tel, err := telemetry.New(ctx, service, env.Log, stderr)
	if err != nil {
		return nil, err
	}
	p := &Process{Env: env, File: file, Telemetry: tel, Logger: tel.Logger, Auth: who, Clock: clock.Real()}
	// Before the files are read is when they are looked at for the first time: what changes in between is a change.
	turn := pg.NewTurn(pg.Config{DSN: env.PostgresDSN, Schema: service, AppName: "agogo-" + service + "-turn"})
	p.watch = newWatch(env.Watch, began, env.WatchSpread, turn, p.shutOut, p.usable(service, getenv, check), tel.Logger)
	return p, errors.Join(p.watch.register(tel.Registry), p.certificates())
}

// usable checks what the process would be started with now. A key that has changed is good when the broker lets it in: until it
// has got it too, the old one may still be of use, and a start with the new one is none.
func (p *Process) usable(service string, getenv func(string) string, check func(*config.File) error) func() error {
	to := p.server()
	held, _ := renewal.Take(to.files()) // what cannot be read is told by Connect
	return func() error {
		file, err := config.LoadFor(service, p.Env.ConfigPath, renewal.Overlay(p.Env.Watch, getenv))
		if err != nil {
			return err
		}
		if _, err := auth.NewStatic(file.Auth.Tokens); err != nil {
			return err
		}
		if err := check(file); err != nil {
			return err
		}
		now, err := renewal.Take(to.files())
		if err != nil || now == held {
			return err
		}
		return to.accepts(service)
	}
}

// shutOut reports that the broker does not let the process in any more with the key that it has.
func (p *Process) shutOut() bool {
	return p.NATS != nil && !p.NATS.IsConnected() && isRefusal(p.NATS.LastError())
}

func (p *Process) server() Server {
	return Server{URL: p.Env.NATSURL, Creds: p.Env.NATSCreds, CA: p.Env.NATSCA}
}

// run runs the service and then drains the connection it had, so that its last answers reach the server.
func (p *Process) run(ctx context.Context, run func(context.Context, *Process) error) error {
	defer p.disconnect(ctx)
	p.Logger.InfoContext(ctx, "starting", "config", p.Env.ConfigPath, "tenants", len(p.File.Tenants))
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if len(p.Env.Watch) > 0 {
		go func() {
			if err := p.watch.run(ctx); err != nil {
				p.Logger.InfoContext(ctx, err.Error())
				end(err)
			}
		}()
	}
	err := run(ctx, p)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // told to end while it still waited for something, such as the database
	}
	if err == nil {
		p.Logger.InfoContext(ctx, "stopped")
	}
	return err
}

// certificates measures how long those that the process is given are good for.
func (p *Process) certificates() error {
	all := renewal.Expiry{}
	if p.Env.TLSCert != "" {
		pair, err := renewal.NewPair(p.Env.TLSCert, p.Env.TLSKey)
		if err != nil {
			return err
		}
		all["grpc"] = pair.Expires
	}
	if p.Env.NATSCA != "" {
		all["nats-ca"] = renewal.Authorities(p.Env.NATSCA)
	}
	if ca := pg.RootCert(p.Env.PostgresDSN); ca != "" {
		all["postgres-ca"] = renewal.Authorities(ca)
	}
	return p.Telemetry.Registry.Register(all)
}

func (p *Process) disconnect(ctx context.Context) {
	closed := p.NATS.StatusChanged(nats.CLOSED)
	if err := p.NATS.Drain(); err != nil {
		p.NATS.Close() // it was not connected, or closed already: nothing to drain
		return
	}
	select {
	case <-closed:
	case <-time.After(shutdownBudget):
		p.Logger.WarnContext(ctx, "connection to NATS did not drain in time")
		p.NATS.Close()
	}
}

func (p *Process) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownBudget)
	defer cancel()
	if err := p.Telemetry.Shutdown(ctx); err != nil {
		p.Logger.WarnContext(ctx, "traces were not flushed", "error", err)
	}
}
