package cli

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// rowsOf answers each look at a day with the next of its rows, and with the last one from then on.
type rowsOf struct {
	payoutsv1.PayoutsServiceClient
	rows  []*payoutsv1.Close
	looks int
}

func (c *rowsOf) ListCloses(context.Context, *payoutsv1.ListClosesRequest, ...grpc.CallOption) (*payoutsv1.ListClosesResponse, error) {
	row := c.rows[min(c.looks, len(c.rows)-1)]
	c.looks++
	return &payoutsv1.ListClosesResponse{Items: []*payoutsv1.Close{row}}, nil
}

func failed(tries int32) *payoutsv1.Close {
	return &payoutsv1.Close{Id: "k", State: "open", Tries: tries, Reason: "the statement could not be read"}
}

// TestWaitingIsForTheTryThatWasAskedFor: a close that has failed before says so until it is tried again, and that is not what the try came to.
func TestWaitingIsForTheTryThatWasAskedFor(t *testing.T) {
	t.Parallel()
	done := &payoutsv1.Close{Id: "k", State: "completed", Tries: 2}
	for name, c := range map[string]struct {
		rows  []*payoutsv1.Close
		late  bool
		looks int
	}{
		"it succeeds":        {[]*payoutsv1.Close{failed(2), failed(2), done}, false, 3},
		"it fails again":     {[]*payoutsv1.Close{failed(2), failed(3)}, true, 2},
		"nobody works on it": {[]*payoutsv1.Close{failed(2)}, true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, a := &rowsOf{rows: c.rows}, &app{IO: IO{Err: &bytes.Buffer{}}}
				x := &closing{date: "2025-01-24", provider: "wave", timeout: 5*look - look/2}
				begun := time.Now()
				items, late, err := a.awaitClose(t.Context(), client, "lebenis", x, []*payoutsv1.Close{failed(2)})
				if err != nil || late != c.late || len(items) != 1 || items[0].State != c.rows[len(c.rows)-1].State {
					t.Errorf("%v, late %v, %v", items, late, err)
				}
				if client.looks != c.looks {
					t.Errorf("it ended after %d looks and %s, not %d", client.looks, time.Since(begun), c.looks)
				}
			})
		})
	}
}

// TestADayBehindOneThatFailsIsNotWaitedFor: it is not tried before that one is closed, which may be days.
func TestADayBehindOneThatFailsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := &payoutsv1.Close{Id: "k", State: "open"}
		behind := &payoutsv1.Close{Id: "k", State: "open", Reason: "waits for 2025-01-23, which could not be closed"}
		client, a := &rowsOf{rows: []*payoutsv1.Close{asked, behind}}, &app{IO: IO{Err: &bytes.Buffer{}}}
		x := &closing{date: "2025-01-24", provider: "wave", timeout: 9*look - look/2}
		items, late, err := a.awaitClose(t.Context(), client, "lebenis", x, []*payoutsv1.Close{asked})
		if err != nil || !late || client.looks != 2 || items[0] != behind {
			t.Errorf("%v, late %v, %v after %d looks", items, late, err, client.looks)
		}
	})
}
