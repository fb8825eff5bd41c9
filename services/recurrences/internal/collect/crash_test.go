package collect_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// A sender that is gone is taken over by asking, never by sending. When it turns out to be alive after all, its answer proves
// what it proves and moves nothing twice.
func TestASenderThatIsGoneIsTakenOver(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]struct {
		taken, end charge.State
	}{
		recurrencestest.OK:   {charge.Unknown, charge.Succeeded},
		recurrencestest.Soft: {charge.Unknown, charge.FailedSoft},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", token)
			run := plan(t, e, "2025-10-30")
			hanging, wake := make(chan struct{}), make(chan struct{})
			e.Gateway.Before = func(context.Context, provider.Transfer) {
				close(hanging)
				<-wake
			}
			ended := make(chan error)
			go func() { ended <- e.Dispatch(e.Ctx(), run, 0) }()
			<-hanging
			e.SQL("UPDATE attempts SET lease_expires_at = now() - interval '1 second'")
			e.LookUp(0)
			if c := e.Charge("rec-1", "2025-10-30"); c.State != want.taken || c.Send.Wanted() {
				t.Errorf("after the takeover: %s, to be sent %t", c.State, c.Send.Wanted())
			}
			if n := e.Count("SELECT count(*) FROM runs WHERE state = 'completed'"); n != 1 {
				t.Error("the run waits for a sender that is gone")
			}
			close(wake)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			for range 3 {
				e.LookUp(2 * time.Second)
			}
			if c := e.Charge("rec-1", "2025-10-30"); c.State != want.end || c.LastAttempt.String() != "2025-10-30" {
				t.Errorf("in the end: %s, attempted on %s", c.State, c.LastAttempt)
			}
			if diff := cmp.Diff(1, len(e.Gateway.Sends())); diff != "" {
				t.Error("sent again")
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}
