package event_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

func TestEveryTransitionNamesExactlyOneEvent(t *testing.T) {
	t.Parallel()
	for _, m := range event.Machines() {
		seen := map[[3]string]bool{}
		for _, tr := range m.Transitions {
			pair := [3]string{tr.From, tr.To}
			if tr.From == tr.To { // it may stay for several reasons, each with its own event
				pair[2] = string(tr.Event)
			}
			if seen[pair] {
				t.Errorf("%s: %s → %s stands twice", m.Aggregate, tr.From, tr.To)
			}
			seen[pair] = true
			if tr.Event.Aggregate() != m.Aggregate {
				t.Errorf("%s: event %s belongs to another aggregate", m.Aggregate, tr.Event)
			}
			if tr.Event.Name() == "" || tr.When == "" || tr.To == "" {
				t.Errorf("%s: incomplete row %+v", m.Aggregate, tr)
			}
		}
	}
}

// The rows are DESIGN 4's; a change here is a change of what money may do.
func TestPayoutTableIsTheDesigns(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"":                  {"created"},
		"created":           {"approved", "awaiting_approval", "held", "skipped"},
		"awaiting_approval": {"approved", "held", "processing", "rejected"},                                  // processing: ADR 10
		"held":              {"approved", "awaiting_approval", "cancelled", "held", "processing", "unknown"}, // to itself: ADR 12; unknown: ADR 18; processing: ADR 10
		"approved":          {"cancelled", "held", "processing", "submitting", "unknown"},                    // unknown: ADR 18; processing: ADR 10
		"submitting":        {"approved", "failed", "held", "processing", "succeeded", "unknown"},
		"processing":        {"failed", "manual_review", "succeeded", "unknown"},
		"unknown":           {"approved", "failed", "manual_review", "processing", "succeeded"},
		"manual_review":     {"approved", "failed", "succeeded"},
		"failed":            {"approved"},
		"succeeded":         {"reversed"},
	}
	got := map[string][]string{}
	for _, tr := range event.Payout.Transitions {
		got[tr.From] = append(got[tr.From], tr.To)
	}
	for _, to := range got {
		slices.Sort(to)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, s := range []string{"skipped", "rejected", "cancelled", "reversed"} {
		if !event.Payout.Terminal(s) {
			t.Errorf("%s must be terminal", s)
		}
	}
}

func TestEnvelopeSurvivesHeaders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 40, 200)
		ctx := event.WithCause(context.Background(), event.Cause{Actor: text.Draw(t, "actor"), CorrelationID: text.Draw(t, "correlation")})
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
		e := event.New(ctx, "payouts", "lebenis", "payout.created", text.Draw(t, "id"), rapid.Int64Range(1, 1e9).Draw(t, "v"), rapid.IntRange(0, 9).Draw(t, "epoch"), at)
		headers := e.Headers()
		for k, v := range headers {
			if k != strings.ToLower(k) {
				t.Fatalf("header %q is not lowercase: nats.Header finds it only by its exact name", k)
			}
			if strings.ContainsFunc(v, func(r rune) bool { return r < '!' || r > '~' }) {
				t.Fatalf("header %s holds %q, outside U+0021 to U+007E", k, v)
			}
		}
		back, err := event.ParseHeaders(func(k string) string { return headers[k] })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestIDsAreTheSameForTheSameFactAndDifferOtherwise(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	id := func(tenant, agg string, version int64, epoch int) string {
		return event.New(context.Background(), "payouts", tenant, "payout.created", agg, version, epoch, at).ID
	}
	base := id("a", "1", 1, 0)
	if base != event.New(context.Background(), "payouts", "a", "payout.held", "1", 1, 0, at.Add(time.Hour)).ID {
		t.Error("one version of one aggregate must have one id, whatever is said about it and when")
	}
	for name, other := range map[string]string{"tenant": id("b", "1", 1, 0), "aggregate": id("a", "2", 1, 0), "version": id("a", "1", 2, 0), "epoch": id("a", "1", 1, 1)} {
		if other == base {
			t.Errorf("another %s must give another id", name)
		}
	}
	if event.UUID("ab", "c") == event.UUID("a", "bc") {
		t.Error("fields must not run into each other")
	}
}

func TestBodiesAreProtoJSONWithProtoNamesAndStringIntegers(t *testing.T) {
	t.Parallel()
	raw, err := event.Encode(&eventsv1.Payout{PayoutId: "p", PreviousState: "created", Net: &eventsv1.Money{Minor: 24000, Currency: "XOF"}})
	if err != nil {
		t.Fatal(err)
	}
	compact := strings.ReplaceAll(string(raw), " ", "")
	for _, want := range []string{`"payout_id":"p"`, `"previous_state":"created"`, `"net":{"minor":"24000","currency":"XOF"}`} {
		if !strings.Contains(compact, want) {
			t.Errorf("%s lacks %s", compact, want)
		}
	}
}

func FuzzParseHeaders(f *testing.F) {
	f.Add("com.agogo.payout.created.v1", "2025-01-24T23:59:00Z", "1", "0", "%41")
	f.Fuzz(func(t *testing.T, typ, at, version, epoch, id string) {
		h := map[string]string{"ce-type": typ, "ce-time": at, "ce-aggversion": version, "ce-epoch": epoch, "ce-id": id, "ce-tenantid": "t", "ce-subject": "s"}
		if e, err := event.ParseHeaders(func(k string) string { return h[k] }); err == nil && e.Type.CloudEvent() != typ && !strings.Contains(typ, "%") {
			t.Errorf("%q was read as %q", typ, e.Type)
		}
	})
}
