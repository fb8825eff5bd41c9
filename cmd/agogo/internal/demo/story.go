package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/cmd/agogo/internal/feed"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/simulator"
)

// story is what happens to one tenant, told to out.
type story struct {
	out       io.Writer
	console   bool // out is a terminal that is told to at once
	tenant    string
	service   string // that does the tenant's jobs
	scheduler schedulerv1.SchedulerServiceClient
	notifier  notifierv1.NotifierServiceClient
	ledger    ledgerv1.LedgerServiceClient // of the service
	simulator string
}

// pauseCron keeps real ticks out of the demonstration.
func (s *story) pauseCron(ctx context.Context) error {
	r, err := s.scheduler.ListSchedules(ctx, &schedulerv1.ListSchedulesRequest{Tenant: s.tenant, PageSize: 1000})
	if err != nil {
		return err
	}
	for _, schedule := range r.Items {
		if schedule.State == "paused" {
			continue
		}
		if _, err := s.scheduler.PauseSchedule(ctx, &schedulerv1.PauseScheduleRequest{Name: schedule.Name, Reason: "demo: ticks are fired by hand"}); err != nil {
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

// fire triggers a schedule at a nominal time and follows the run to its end; each (may be nil) sees it on the way.
func (s *story) fire(ctx context.Context, schedule string, at time.Time, each func(*schedulerv1.Run)) (*schedulerv1.Run, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick, err := s.scheduler.TriggerSchedule(ctx, &schedulerv1.TriggerScheduleRequest{
		Name: s.tenant + "/" + s.service + "/" + schedule, NominalTime: timestamppb.New(at),
	})
	if err != nil {
		return nil, false, err
	}
	updates, err := s.scheduler.WatchRun(ctx, &schedulerv1.WatchRunRequest{TickId: tick.TickId})
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

// pages calls for pages of a list until there are no more.
func pages[T any](next func(token string) ([]T, string, error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		items, more, err := next(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if token = more; token == "" {
			return all, nil
		}
	}
}

func (s *story) notifications(ctx context.Context) ([]*notifierv1.Notification, error) {
	return pages(func(token string) ([]*notifierv1.Notification, string, error) {
		r, err := s.notifier.ListNotifications(ctx, &notifierv1.ListNotificationsRequest{Tenant: s.tenant, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
}

// balances are those of the service's books, by account.
func (s *story) balances(ctx context.Context) (map[string]int64, error) {
	all, err := pages(func(token string) ([]*ledgerv1.Balance, string, error) {
		r, err := s.ledger.ListBalances(ctx, &ledgerv1.ListBalancesRequest{Tenant: s.tenant, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
	byAccount := map[string]int64{}
	for _, b := range all {
		byAccount[b.Account] = b.Balance.GetMinor()
	}
	return byAccount, err
}

// bookEntry is a line of the provider's own book.
type bookEntry struct {
	Reference string `json:"reference"`
	Peer      string `json:"peer"`
	Amount    int64  `json:"amount"`
	Status    string `json:"status"`
	Moved     int    `json:"moved"`
}

func (s *story) book(ctx context.Context, provider string) ([]bookEntry, error) {
	var book struct {
		Entries []bookEntry `json:"entries"`
	}
	err := s.control(ctx, http.MethodGet, "/_control/book?provider="+provider, nil, &book)
	return book.Entries, err
}

// pushes counts by token what devices received.
func (s *story) pushes(ctx context.Context) (map[string]int, error) {
	var inbox struct {
		Pushes []struct {
			Token string `json:"token"`
		} `json:"pushes"`
	}
	err := s.control(ctx, http.MethodGet, "/_control/pushes", nil, &inbox)
	byToken := map[string]int{}
	for _, p := range inbox.Pushes {
		byToken[p.Token]++
	}
	return byToken, err
}

// misbehave adds to what goes wrong at the simulated companies. It leaves the other tenant's faults as they are.
func (s *story) misbehave(ctx context.Context, plan simulator.Plan) error {
	for _, r := range plan.Rules {
		if err := s.control(ctx, http.MethodPost, "/_control/rules", r, nil); err != nil {
			return err
		}
	}
	return nil
}

// control speaks to the simulator's control API.
func (s *story) control(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.simulator+path, bytes.NewReader(raw))
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

// differ tells what is not as it should be.
func (s *story) differ(format string, args ...any) error {
	fmt.Fprintf(s.out, "✗ "+format+"\n", args...)
	return ErrDiffers
}

// agree holds the books against themselves, and tells that all that was held against each other agrees, or what does not.
func (s *story) agree(ctx context.Context, found []string, who string, moved int) error {
	books, err := s.ledger.VerifyLedger(ctx, &ledgerv1.VerifyLedgerRequest{Tenant: s.tenant})
	if err != nil {
		return err
	}
	for _, f := range books.Findings {
		found = append(found, fmt.Sprintf("books, %s: want %d, got %d: %s", f.Account, f.Expected.GetMinor(), f.Found.GetMinor(), f.Explanation))
	}
	if len(found) > 0 {
		return s.differ("%d differences:\n  %s", len(found), strings.Join(found, "\n  "))
	}
	fmt.Fprintf(s.out, "✓ books (%d postings), %s's book (%d movements) and expectation agree\n", books.Postings, who, moved)
	return nil
}

// step is a part of a story that begins with a title.
type step struct {
	title string
	do    func(context.Context) error
}

func (s *story) play(ctx context.Context, steps []step) error {
	for _, st := range steps {
		fmt.Fprintf(s.out, "\n── %s\n", st.title)
		if err := st.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// once fails unless a tick that fires again is the one that fired before.
func (s *story) once(ctx context.Context, schedule string, at time.Time) error {
	run, already, err := s.fire(ctx, schedule, at, nil)
	if err != nil {
		return err
	}
	if !already {
		return s.differ("%s fired a second time", run.TickId)
	}
	return nil
}

func (s *story) importFile(ctx context.Context, what string, open feed.Open, r io.Reader) error {
	sum, err := feed.File(ctx, open, s.tenant, "csv", r, feed.Heard{Refused: func(line string) { fmt.Fprintln(s.out, "  refused:", line) }})
	if err != nil {
		return fmt.Errorf("import %s: %w", what, err)
	}
	fmt.Fprintf(s.out, "%-11s %s\n", what, sum)
	if sum.Refused > 0 {
		return fmt.Errorf("import %s: %d rows were refused", what, sum.Refused)
	}
	return nil
}
