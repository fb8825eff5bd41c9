package command_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/command"
)

func TestMessagesAreDeterministic(t *testing.T) {
	t.Parallel()
	run := uuid.MustParse("0b1c7f3e-0000-5000-8000-000000000001")
	target := run.String() + "/7"
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
		got := command.Plan{RunID: run, Page: 7}.Message(ctx, m.epoch, m.nonce)
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
	headers := command.Dispatch{RunID: run}.Message(ctx, 0, "").Headers
	want := map[string]string{
		"ce-id": "dispatch/" + run.String() + "/0", "ce-actor": "user:ada",
		"ce-correlationid": "lebenis/payouts/daily@2025-01-24T23:59:00Z", "ce-causationid": "c",
	}
	if diff := cmp.Diff(want, headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestDecodeReadsWhatMessageWrote(t *testing.T) {
	t.Parallel()
	plan, dispatch := command.Plan{RunID: uuid.New(), Page: 3}, command.Dispatch{RunID: uuid.New(), Page: 9}
	m := plan.Message(t.Context(), 1, "x")
	if got, err := command.Decode(m.Subject, m.Payload); err != nil || got.Plan == nil || *got.Plan != plan || got.RunID() != plan.RunID {
		t.Errorf("%+v, %v", got, err)
	}
	m = dispatch.Message(t.Context(), 1, "x")
	if got, err := command.Decode(m.Subject, m.Payload); err != nil || got.Dispatch == nil || *got.Dispatch != dispatch || got.RunID() != dispatch.RunID {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	m := command.Plan{RunID: uuid.New(), Page: 3}.Message(f.Context(), 0, "")
	f.Add(m.Subject, m.Payload)
	f.Add("agogo.cmd.payouts.dance.p00", []byte("{}"))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		c, err := command.Decode(subject, data)
		if err == nil && (c.RunID() == uuid.Nil || (c.Plan == nil) == (c.Dispatch == nil)) {
			t.Fatalf("decoded %+v", c)
		}
	})
}
