package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
)

// marking answers as any service would, of its tables.
type marking struct {
	restorev1.UnimplementedRestoreServiceServer
}

func (marking) MarkRestore(context.Context, *restorev1.MarkRestoreRequest) (*restorev1.Restore, error) {
	return &restorev1.Restore{Service: "payouts", Epoch: 1, State: "running"}, nil
}

func (marking) GetRestore(context.Context, *restorev1.GetRestoreRequest) (*restorev1.Restore, error) {
	return &restorev1.Restore{Service: "payouts", Epoch: 1, State: "running"}, nil
}

// TestWhoMarksARestoreHearsWhatFollows: that providers are asked first, that it lasts, and what shows how far it is.
func TestWhoMarksARestoreHearsWhatFollows(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	restorev1.RegisterRestoreServiceServer(g, marking{})
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	at := l.Addr().String()
	info, err := json.Marshal(dev.Info{Tokens: map[string]string{"admin": "admin"}, GRPC: map[string]string{"payouts": at, "notifier": at}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dev.json")
	if err := os.WriteFile(path, info, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, told := range map[string]bool{
		"restore mark --reason backup": true, "restore mark --reason backup --service payouts": true, "restore mark --reason backup -o json": true,
		"restore mark --reason backup --service notifier": false, "restore list": false,
	} {
		var out, said bytes.Buffer
		code := Main(t.Context(), IO{Out: &out, Err: &said, Getenv: func(string) string { return "" }}, append(strings.Fields(args), "--context", path))
		if code != 0 || strings.Contains(said.String(), "agogo restore list counts what is being asked") != told || !strings.Contains(out.String(), "running") {
			t.Errorf("%s: exit %d\n%s\n%s", args, code, out.String(), said.String())
		}
	}
}
