package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// clients holds the connections of one invocation, made when first asked for.
type clients struct {
	info  *dev.Info
	conns map[string]*grpc.ClientConn
}

func (c *clients) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// info finds and reads the context: --context, AGOGO_CONTEXT, or the dev started last.
func (a *app) info() (*dev.Info, error) {
	if a.clients.info != nil {
		return a.clients.info, nil
	}
	path := a.context
	if path == "" {
		path = a.Getenv("AGOGO_CONTEXT")
	}
	if path == "" {
		current, err := dev.Current(a.Getenv)
		if err != nil {
			return nil, err
		}
		path = current
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: start Agogo with 'agogo dev', or set AGOGO_CONTEXT to the dev.json of one that runs", path)
	}
	if err != nil {
		return nil, err
	}
	var info dev.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return nil, fmt.Errorf("%s is not a dev.json: %w", path, err)
	}
	a.clients.info = &info
	return &info, nil
}

// secret is the bearer token: --token or AGOGO_TOKEN, either one itself or the name of one in the context.
func (a *app) secret(info *dev.Info) string {
	token := a.token
	if token == "" {
		token = a.Getenv("AGOGO_TOKEN")
	}
	if token == "" {
		token = "admin"
	}
	if named, ok := info.Tokens[token]; ok {
		return named
	}
	return token
}

// sayTokens says which names --token takes: one of the tenants file is none of them.
func (a *app) sayTokens() {
	info, err := a.info()
	if err != nil {
		return
	}
	said := "  --token and AGOGO_TOKEN take a token itself"
	if names := slices.Sorted(maps.Keys(info.Tokens)); len(names) > 0 {
		said += ", or the name of one in the context: " + strings.Join(names, ", ")
	}
	fmt.Fprintln(a.Err, said)
}

func (a *app) conn(service string) (*grpc.ClientConn, error) {
	if c, ok := a.clients.conns[service]; ok {
		return c, nil
	}
	info, err := a.info()
	if err != nil {
		return nil, err
	}
	addr, ok := info.GRPC[service]
	if !ok {
		return nil, fmt.Errorf("the context names no %s: it was started without that service", service)
	}
	c, err := info.Dial(addr, a.secret(info))
	if err != nil {
		return nil, err
	}
	if a.clients.conns == nil {
		a.clients.conns = map[string]*grpc.ClientConn{}
	}
	a.clients.conns[service] = c
	return c, nil
}

func (a *app) scheduler() (schedulerv1.SchedulerServiceClient, error) {
	c, err := a.conn("scheduler")
	if err != nil {
		return nil, err
	}
	return schedulerv1.NewSchedulerServiceClient(c), nil
}

func (a *app) payouts() (payoutsv1.PayoutsServiceClient, error) {
	c, err := a.conn("payouts")
	if err != nil {
		return nil, err
	}
	return payoutsv1.NewPayoutsServiceClient(c), nil
}

func (a *app) recurrences() (recurrencesv1.RecurrencesServiceClient, error) {
	c, err := a.conn("recurrences")
	if err != nil {
		return nil, err
	}
	return recurrencesv1.NewRecurrencesServiceClient(c), nil
}

func (a *app) notifier() (notifierv1.NotifierServiceClient, error) {
	c, err := a.conn("notifier")
	if err != nil {
		return nil, err
	}
	return notifierv1.NewNotifierServiceClient(c), nil
}

// anyTenant is --tenant, or "" for all. A tenant that the context does not know is not found, whatever the command: a list
// would otherwise answer a slip of the pen with nothing, as if there were nothing.
func (a *app) anyTenant() (string, error) {
	info, err := a.info()
	if err != nil || a.tenant == "" || len(info.Tenants) == 0 || slices.Contains(info.Tenants, a.tenant) {
		return a.tenant, err
	}
	return "", status.Errorf(codes.NotFound, "there is no tenant %q here, but %s", a.tenant, strings.Join(info.Tenants, ", "))
}

// oneTenant is --tenant, or the only tenant there is.
func (a *app) oneTenant() (string, error) {
	if t, err := a.anyTenant(); t != "" || err != nil {
		return t, err
	}
	info, err := a.info()
	if err != nil {
		return "", err
	}
	if len(info.Tenants) == 1 {
		return info.Tenants[0], nil
	}
	return "", usagef("--tenant is needed: one of %v", info.Tenants)
}

// forTenant is what most commands need first: the tenant that is meant and a client of a service.
func forTenant[C any](a *app, client func() (C, error)) (tenant string, c C, err error) {
	if tenant, err = a.oneTenant(); err != nil {
		return "", c, err
	}
	c, err = client()
	return tenant, c, err
}
