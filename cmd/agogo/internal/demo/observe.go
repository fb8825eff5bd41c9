package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// fire triggers a schedule at a nominal time and follows the run to its end; each (may be nil) sees it on the way.
func (d *demo) fire(ctx context.Context, schedule string, at time.Time, each func(*schedulerv1.Run)) (*schedulerv1.Run, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick, err := d.scheduler.TriggerSchedule(ctx, &schedulerv1.TriggerScheduleRequest{
		Name: d.tenant + "/payouts/" + schedule, NominalTime: timestamppb.New(at),
	})
	if err != nil {
		return nil, false, err
	}
	updates, err := d.scheduler.WatchRun(ctx, &schedulerv1.WatchRunRequest{TickId: tick.TickId})
	if err != nil {
		return nil, false, err
	}
	var run *schedulerv1.Run
	for {
		r, err := updates.Recv()
		if errors.Is(err, io.EOF) && run != nil {
			break
		}
		if err != nil {
			return nil, false, err
		}
		if run = r; each != nil {
			each(r)
		}
	}
	if run.State != "completed" {
		return run, tick.AlreadyFired, fmt.Errorf("%s ended as %s: %s", run.TickId, run.State, run.Reason)
	}
	return run, tick.AlreadyFired, nil
}

// payoutsOf lists the payouts of a run, or all with "".
func (d *demo) payoutsOf(ctx context.Context, run string) ([]*payoutsv1.Payout, error) {
	var all []*payoutsv1.Payout
	req := &payoutsv1.ListPayoutsRequest{Tenant: d.tenant, RunId: run, PageSize: 1000}
	for {
		r, err := d.payouts.ListPayouts(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, r.Items...)
		if req.PageToken = r.NextPageToken; req.PageToken == "" {
			return all, nil
		}
	}
}

func (d *demo) notifications(ctx context.Context) ([]*notifierv1.Notification, error) {
	var all []*notifierv1.Notification
	req := &notifierv1.ListNotificationsRequest{Tenant: d.tenant, PageSize: 1000}
	for {
		r, err := d.notifier.ListNotifications(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, r.Items...)
		if req.PageToken = r.NextPageToken; req.PageToken == "" {
			return all, nil
		}
	}
}

// bookEntry is a line of the provider's own book.
type bookEntry struct {
	Reference string `json:"reference"`
	Peer      string `json:"peer"`
	Amount    int64  `json:"amount"`
	Status    string `json:"status"`
	Moved     int    `json:"moved"`
}

func (d *demo) book(ctx context.Context) ([]bookEntry, error) {
	var book struct {
		Entries []bookEntry `json:"entries"`
	}
	err := d.control(ctx, http.MethodGet, "/_control/book?provider=orange_omr", nil, &book)
	return book.Entries, err
}

// control speaks to the simulator's control API.
func (d *demo) control(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.simulator+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("simulator: %s %s: %s %s", method, path, res.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
