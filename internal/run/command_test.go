package run_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
)

func TestMessagesAreDeterministic(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0b1c7f3e-0000-5000-8000-000000000001")
	target := id.String() + "/7"
	ctx := event.WithCause(t.Context(), event.Cause{Actor: "user:ada", CorrelationID: "lebenis/payouts/daily@2025-01-24T23:59:00Z", CausationID: "c"})
	for want, m := range map[string]struct {
		epoch int
		nonce string
	}{
		"plan/" + target:            {0, ""},
		"plan/" + target + "#n":     {0, "n"},
		"plan/" + target + "#e2":    {2, ""},
		"plan/" + target + "#n#e2":  {2, "n"},
		"plan/" + target + "#n2#e2": {2, "n2"},
	} {
		got := plan(id, 7).Message(ctx, "payouts", m.epoch, m.nonce)
		if got.ID != want {
			t.Errorf("id %q, want %q", got.ID, want)
		}
		if got.Headers["ce-id"] != "plan/"+target {
			t.Errorf("ce-id %q changes with the emission", got.Headers["ce-id"])
		}
		if got.Stream != stream.Commands || !strings.HasPrefix(got.Subject, "agogo.cmd.payouts.plan.p") || got.Key == "" {
			t.Errorf("message %+v", got)
		}
	}
	command := dispatch(id, 0)
	command.Tenant = "lebenis"
	headers := command.Message(ctx, "payouts", 0, "").Headers
	want := map[string]string{
		"ce-tenantid": "lebenis",
		"ce-id":       "dispatch/" + id.String() + "/0", "ce-actor": "user:ada",
		"ce-correlationid": "lebenis/payouts/daily@2025-01-24T23:59:00Z", "ce-causationid": "c",
	}
	if diff := cmp.Diff(want, headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestDecodeReadsWhatMessageWrote(t *testing.T) {
	t.Parallel()
	for _, want := range []run.Command{plan(uuid.New(), 3), dispatch(uuid.New(), 9)} {
		m := want.Message(t.Context(), "payouts", 1, "x")
		if got, err := run.Decode("payouts", m.Subject, m.Payload); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		if got, err := run.Decode("recurrences", m.Subject, m.Payload); err == nil {
			t.Errorf("another service took %+v", got)
		}
	}
}

func plan(id uuid.UUID, page int) run.Command {
	return run.Command{Verb: run.VerbPlan, Place: run.Place{Run: id, Page: page}}
}

func dispatch(id uuid.UUID, page int) run.Command {
	return run.Command{Verb: run.VerbDispatch, Place: run.Place{Run: id, Page: page}}
}

func FuzzDecode(f *testing.F) {
	m := plan(uuid.New(), 3).Message(f.Context(), "payouts", 0, "")
	f.Add(m.Subject, m.Payload)
	f.Add("agogo.cmd.payouts.dance.p00", []byte("{}"))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		c, err := run.Decode("payouts", subject, data)
		if err == nil && (c.Run == uuid.Nil || c.Page < 0 || (c.Verb != run.VerbPlan && c.Verb != run.VerbDispatch)) {
			t.Fatalf("decoded %+v", c)
		}
	})
}
