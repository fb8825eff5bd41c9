package harness

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// Info is dev.json.
type Info struct {
	Version int               `json:"version"`
	GRPC    map[string]string `json:"grpc"`
	HTTP    map[string]string `json:"http"`
	NATS    struct {
		URL   string `json:"url"`
		Creds string `json:"creds"`
	} `json:"nats"`
	PostgresDSN string            `json:"postgres_dsn"`
	Simulator   string            `json:"simulator"`
	Console     string            `json:"console"`
	Tokens      map[string]string `json:"tokens"`
}

// Info reads the dev.json of the running dev.
func (in *Install) Info(t testing.TB) Info {
	t.Helper()
	info, err := in.info()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (in *Install) info() (info Info, err error) {
	raw, err := os.ReadFile(filepath.Join(in.DataDir(), "dev.json"))
	if err == nil {
		err = json.Unmarshal(raw, &info)
	}
	return info, err
}

// Clients speak gRPC with the running dev.
type Clients struct {
	Scheduler   schedulerv1.SchedulerServiceClient
	Payouts     payoutsv1.PayoutsServiceClient
	Recurrences recurrencesv1.RecurrencesServiceClient
	Notifier    notifierv1.NotifierServiceClient
}

// Connect makes clients, and the context that lets them in as one of dev.json's tokens.
func (in *Install) Connect(t testing.TB, token string) (Clients, context.Context) {
	t.Helper()
	info := in.Info(t)
	dial := func(service string) *grpc.ClientConn {
		c, err := grpc.NewClient(info.GRPC[service], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return Clients{
		Scheduler:   schedulerv1.NewSchedulerServiceClient(dial("scheduler")),
		Payouts:     payoutsv1.NewPayoutsServiceClient(dial("payouts")),
		Recurrences: recurrencesv1.NewRecurrencesServiceClient(dial("recurrences")),
		Notifier:    notifierv1.NewNotifierServiceClient(dial("notifier")),
	}, metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+info.Tokens[token])
}

// NATS connects as any outside subscriber would, until the test ends.
func (in *Install) NATS(t testing.TB) *nats.Conn {
	t.Helper()
	nc, err := in.ConnectNATS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// ConnectNATS is NATS for a connection that the caller closes.
func (in *Install) ConnectNATS() (*nats.Conn, error) {
	info, err := in.info()
	if err != nil {
		return nil, err
	}
	return nats.Connect(info.NATS.URL, nats.UserCredentials(info.NATS.Creds), nats.Name("e2e"))
}

// Items are the items of a list command, which is run with -o json. A field that the message does not have is a failure.
func Items[T any, M interface {
	*T
	proto.Message
}](t testing.TB, in *Install, args ...string) []M {
	t.Helper()
	out := in.CLI(t, append(args[:len(args):len(args)], "-o", "json")...)
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("agogo %v -o json: %v in\n%s", args, err, out)
	}
	items := make([]M, len(list.Items))
	for i, raw := range list.Items {
		items[i] = M(new(T))
		if err := protojson.Unmarshal(raw, items[i]); err != nil {
			t.Fatalf("agogo %v -o json: item %d: %v\n%s", args, i, err, raw)
		}
	}
	return items
}

// One is a command's single answer, which is printed with -o json.
func One[T any, M interface {
	*T
	proto.Message
}](t testing.TB, in *Install, args ...string) M {
	t.Helper()
	out := in.CLI(t, append(args[:len(args):len(args)], "-o", "json")...)
	m := M(new(T))
	if err := protojson.Unmarshal([]byte(out), m); err != nil {
		t.Fatalf("agogo %v -o json: %v in\n%s", args, err, out)
	}
	return m
}
