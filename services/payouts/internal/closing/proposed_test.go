package closing_test

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
)

// proposed is what lists say of the only open close.
func (r *rig) proposed() *payoutsv1.Close {
	r.t.Helper()
	all, err := closing.List(r.Ctx(), r.Env.Pool, payoutstest.Tenant, "wave", closing.Place{}, 10)
	if err != nil || len(all) != 1 {
		r.t.Fatalf("%v, %v", all, err)
	}
	of, err := closing.OfDay(r.Ctx(), r.Env.Pool, payoutstest.Tenant, "", today)
	if err != nil || len(of) != 1 || of[0].ProposedReason != all[0].ProposedReason {
		r.t.Fatalf("of its day %v, %v", of, err)
	}
	return all[0]
}

// TestTheSecondPersonSeesTheReasonToRepeat, and who replaces another person's reason hears it.
func TestTheSecondPersonSeesTheReasonToRepeat(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.unread(today)
	if k := r.proposed(); k.ProposedBy != "" {
		t.Errorf("nobody has said anything: %v", k)
	}
	const other = "ticket 4712: never"
	for _, say := range []struct{ actor, reason, replaces string }{
		{"user:ada", outage, ""},
		{"user:ada", outage, ""},
		{"user:ben", other, "user:ada"},
		{"user:ben", other, ""},
		{"user:ada", outage, "user:ben"},
	} {
		said, err := r.word(today, say.actor, say.reason)
		if err != nil || said != (closing.Waived{Replaces: say.replaces}) {
			t.Errorf("%+v: %+v, %v", say, said, err)
		}
		if k := r.proposed(); k.ProposedBy != say.actor || k.ProposedReason != say.reason || k.AgreedBy != "" {
			t.Errorf("after %+v: %v", say, k)
		}
	}
	if said, err := r.word(today, "user:ben", outage); err != nil || said != (closing.Waived{Agreed: true}) {
		t.Errorf("the second person: %+v, %v", said, err)
	}
	if k := r.proposed(); k.AgreedBy != "user:ben" {
		t.Errorf("agreed: %v", k)
	}
	r.work()
	if k := r.proposed(); k.ProposedBy != "" || k.WaivedBy != "user:ada, user:ben" {
		t.Errorf("closed: %v", k)
	}
}

// TestTheSecondPersonSeesTheWordsToRepeat about money in suspense, too.
func TestTheSecondPersonSeesTheWordsToRepeat(t *testing.T) {
	t.Parallel()
	r := expense(t)
	f := r.left().Finding
	for _, say := range []struct{ actor, to, reason, replaces string }{
		{"user:ada", "fees", "the tariff", ""},
		{"user:ben", "fees", "a penalty", "user:ada"},
		{"user:ben", "fees", "a penalty", ""},
		{"user:ada", "losses", "a penalty", "user:ben"},
	} {
		d, err := r.decide(say.actor, suspense.Words{Finding: f, To: say.to, Reason: say.reason, Evidence: "of " + say.reason})
		if err != nil || d.Agreed || d.Replaces != say.replaces {
			t.Errorf("%+v: %+v, %v", say, d, err)
		}
		if p := r.left(); p.ProposedBy != say.actor || p.ProposedAccount != say.to || p.ProposedReason != say.reason || p.ProposedEvidence != "of "+say.reason {
			t.Errorf("after %+v: %+v", say, p)
		}
	}
	if d, err := r.decide("user:ben", suspense.Words{Finding: f, To: "losses", Reason: "a penalty", Evidence: "of a penalty"}); err != nil || !d.Agreed || d.Replaces != "" {
		t.Errorf("the second person: %+v, %v", d, err)
	}
}

// TestNobodysMoneyIsSentWhereItMayGo: the next step is not one that is refused then.
func TestNobodysMoneyIsSentWhereItMayGo(t *testing.T) {
	t.Parallel()
	r := expense(t)
	f := r.left().Finding
	for _, statements := range []bool{true, false} {
		if !statements {
			r.Connector.Statement = nil
		}
		_, refused := r.decide("user:ada", suspense.Words{Finding: f, To: "payable"})
		next := status.Convert(refused).Details()[0].(*errdetails.PreconditionFailure).GetViolations()[0].GetDescription()
		if strings.Contains(next, "float") == statements {
			t.Errorf("with statements %v: %q", statements, next)
		}
		for to := range strings.FieldsFuncSeq(strings.TrimPrefix(next, "take it to "), func(c rune) bool { return c == ' ' || c == ',' }) {
			if to == "or" {
				continue
			}
			if _, err := r.decide("user:ada", suspense.Words{Finding: f, To: to}); err != nil {
				t.Errorf("with statements %v, %s: %v", statements, to, err)
			}
		}
	}
}
