package charge

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// The words of provider results must be those that these rules read.
var _ = map[bool]string{
	false: "",
	string(provider.NotSent) == ClassNotSent && string(provider.RejectedFinal) == ClassRejectedFinal &&
		string(provider.RejectedRetryable) == ClassRejectedRetryable && string(provider.Accepted) == ClassAccepted &&
		string(provider.Succeeded) == ClassSucceeded && string(provider.ScopeCard) == ScopeCard &&
		string(provider.ScopeFloat) == ScopeFloat && string(provider.ScopeProvider) == ScopeProvider: "does not compile if one differs",
}

func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	soft := Answer{Class: ClassRejectedRetryable, Scope: "payment", Code: "insufficient_funds"}
	hard := Answer{Class: ClassRejectedFinal, Scope: "payment", Code: "stopped_by_holder"}
	lost := Answer{Class: ClassRejectedFinal, Scope: ScopeCard, Code: "lost_card"}
	act := Answer{Class: ClassRejectedFinal, Scope: "payment", Code: CodeRequiresAction}
	unsent := Answer{Class: ClassNotSent, Scope: ScopeProvider, Code: "connect"}
	wrongKey := Answer{Class: ClassRejectedFinal, Scope: ScopeProvider, Code: "wrong_credentials"}
	wrongAsked := Answer{Class: ClassRejectedFinal, Scope: ScopeProvider, Code: "invalid_request", Asked: true}
	unsentAsked := Answer{Class: ClassNotSent, Scope: ScopeProvider, Code: "connect", Asked: true}
	tests := []struct {
		name  string
		a     Answer
		from  State
		tries int
		want  Outcome
	}{
		{"charged", Answer{Class: ClassSucceeded}, Submitting, 0, Outcome{State: Succeeded, Card: CardPaid}},
		{"charged after all", Answer{Class: ClassSucceeded}, Unknown, 0, Outcome{State: Succeeded, Card: CardPaid}},
		{"charged, people were asked", Answer{Class: ClassSucceeded}, ManualReview, 0, Outcome{State: Succeeded, Card: CardPaid}},
		{"accepted", Answer{Class: ClassAccepted}, Submitting, 0, Outcome{State: Processing}},
		{"found and not finished", Answer{Class: ClassAccepted}, Unknown, 0, Outcome{State: Processing}},
		{"found while people look at it", Answer{Class: ClassAccepted}, ManualReview, 0, Outcome{State: ManualReview}},
		{"no answer", Answer{Class: "AMBIGUOUS", Code: "timeout"}, Submitting, 0, Outcome{State: Unknown}},
		{"still no answer", Answer{Class: "AMBIGUOUS", Code: "timeout"}, Processing, 0, Outcome{State: Processing}},
		{"a class that nobody knows", Answer{Class: "PERHAPS"}, Submitting, 0, Outcome{State: Unknown}},
		{"soft", soft, Submitting, 0, Outcome{State: FailedSoft, Declined: true, Card: CardDeclined}},
		{"soft, after a doubt", soft, Unknown, 0, Outcome{State: FailedSoft, Declined: true, Card: CardDeclined}},
		{"hard", hard, Submitting, 0, Outcome{State: FailedHard, Declined: true, Card: CardDeclined}},
		{"lost card", lost, Submitting, 1, Outcome{State: FailedHard, Declined: true, Card: CardInvalidate}},
		{"lost card though called retryable", Answer{Class: ClassRejectedRetryable, Scope: ScopeCard}, Submitting, 1, Outcome{State: FailedHard, Declined: true, Card: CardInvalidate}},
		{"the customer must act", act, Submitting, 0, Outcome{State: RequiresAction, Declined: true, Card: CardDeclined}},
		{"the customer must act, after a doubt", act, Unknown, 0, Outcome{State: FailedHard, Declined: true, Card: CardDeclined}},
		{"broken off at the gateway", Answer{Class: ClassRejectedRetryable, Scope: "payment", Code: CodeAborted}, Submitting, 0, Outcome{State: FailedSoft, Declined: true}},
		{"voided at the gateway", Answer{Class: ClassRejectedFinal, Scope: "payment", Code: CodeVoided}, Unknown, 0, Outcome{State: FailedHard, Declined: true, TakenBack: true}},
		{"refunded at the gateway", Answer{Class: ClassRejectedFinal, Scope: "payment", Code: CodeRefunded}, Processing, 0, Outcome{State: FailedHard, Declined: true, TakenBack: true}},
		{"no card to ask with", Answer{Class: ClassRejectedFinal, Scope: "payment", Code: CodeCardMissing}, Submitting, 0, Outcome{State: FailedHard, Declined: true}},
		{"the gateway does not know the card", Answer{Class: ClassRejectedFinal, Scope: "payment", Code: CodeCardRefused}, Submitting, 1, Outcome{State: FailedHard, Declined: true}},
		{"a brand that nobody knows", Answer{Class: ClassRejectedFinal, Scope: "payment", Code: CodeBrandUnknown}, Submitting, 0, Outcome{State: FailedHard, Declined: true}},
		{"the request that a person wanted was wrong", wrongAsked, Submitting, 0, Outcome{State: FailedHard, Declined: true}},
		{"what a person wanted never left", unsentAsked, Submitting, 0, Outcome{State: Due, Again: true}},
		{"the request was wrong", Answer{Class: ClassRejectedFinal, Scope: ScopeProvider, Code: "invalid_request"}, Submitting, 0, Outcome{State: Due, Again: true}},
		{"first attempt never left", unsent, Submitting, 0, Outcome{State: Due, Again: true}},
		{"a retry never left", unsent, Submitting, 1, Outcome{State: FailedSoft, Again: true}},
		{"never left says nothing about a doubt", unsent, Unknown, 0, Outcome{State: Unknown}},
		{"wrong key is not the card's fault", wrongKey, Submitting, 0, Outcome{State: Due, Again: true}},
		{"wrong key at a retry", wrongKey, Submitting, 2, Outcome{State: FailedSoft, Again: true}},
		{"wrong key ends a doubt", wrongKey, Unknown, 0, Outcome{State: FailedSoft, Declined: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.a.Outcome(tt.from, tt.tries); got != tt.want {
				t.Errorf("Outcome = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func answers(t *rapid.T) Answer {
	return Answer{
		Class: rapid.SampledFrom([]string{ClassNotSent, ClassRejectedFinal, ClassRejectedRetryable, ClassAccepted, ClassSucceeded, "AMBIGUOUS", ""}).Draw(t, "class"),
		Scope: rapid.SampledFrom([]string{"", "payment", "payee", ScopeCard, ScopeFloat, ScopeProvider}).Draw(t, "scope"),
		Code:  rapid.SampledFrom([]string{"", CodeRequiresAction, CodeVoided, CodeCardRefused, "insufficient_funds"}).Draw(t, "code"),
		Asked: rapid.Bool().Draw(t, "asked"),
	}
}

// TestNoAnswerLeavesTheTables: whatever comes, whatever it comes to, the state tables have a way there; and only an answer that
// says so makes money of a charge, or lets go of one.
func TestNoAnswerLeavesTheTables(t *testing.T) {
	t.Parallel()
	retries := Retries{Days: []int{1, 3, 7}, Max: 3}
	rapid.Check(t, func(t *rapid.T) {
		a := answers(t)
		from := rapid.SampledFrom([]State{Submitting, Processing, Unknown, ManualReview}).Draw(t, "from")
		tries := rapid.IntRange(0, 5).Draw(t, "tries")
		o := a.Outcome(from, tries)
		if o.State != from {
			if _, ok := event.Charge.Event(string(from), string(o.State)); !ok {
				t.Fatalf("%+v takes a charge from %s to %s", a, from, o.State)
			}
		}
		if (o.State == Succeeded) != (a.Class == ClassSucceeded) || o.Card == CardPaid && o.State != Succeeded {
			t.Fatalf("%+v gives %+v", a, o)
		}
		if proven := a.Class == ClassRejectedFinal || a.Class == ClassRejectedRetryable; o.Declined && !proven {
			t.Fatalf("%+v is no decline, but gives %+v", a, o)
		}
		if o.Again && (from != Submitting || o.Declined || o.Card != CardUntouched) {
			t.Fatalf("%+v sends a charge that is %s again: %+v", a, from, o)
		}
		if o.Declined {
			o, _ = retries.Declined(o, 739_000, 739_000, tries+1)
		}
		stand := Standing{
			State:        rapid.SampledFrom([]recurrence.State{recurrence.Active, recurrence.PastDue, recurrence.Hold, recurrence.Paused, recurrence.Cancelled, recurrence.Completed, recurrence.Archived}).Draw(t, "recurrence"),
			OthersUnpaid: rapid.Bool().Draw(t, "others unpaid"), CardInvalid: rapid.Bool().Draw(t, "card invalid"),
			Asked: rapid.Bool().Draw(t, "asked"), NewCard: rapid.Bool().Draw(t, "new card"),
		}
		to, code := stand.After(o)
		if to == stand.State {
			return
		}
		if _, ok := event.Recurrence.Event(string(stand.State), string(to)); !ok {
			t.Fatalf("%+v takes a recurrence from %s to %s", o, stand.State, to)
		}
		if (to == recurrence.Hold) != (code != "") {
			t.Fatalf("%s for %q", to, code)
		}
		if slices.Contains([]recurrence.State{recurrence.Paused, recurrence.Cancelled, recurrence.Completed, recurrence.Archived}, stand.State) {
			t.Fatalf("an answer moved a recurrence that is %s to %s", stand.State, to)
		}
	})
}

func TestWhatAChargeMeansForItsRecurrence(t *testing.T) {
	t.Parallel()
	soft, hard := Outcome{State: FailedSoft, Declined: true, Card: CardDeclined}, Outcome{State: FailedHard, Declined: true, Card: CardDeclined}
	lost, over := Outcome{State: FailedHard, Declined: true, Card: CardInvalidate}, Outcome{State: Exhausted, Declined: true, Card: CardDeclined}
	act, paid := Outcome{State: RequiresAction, Declined: true, Card: CardDeclined}, Outcome{State: Succeeded, Card: CardPaid}
	again, unasked := Outcome{State: FailedSoft, Again: true}, Outcome{State: FailedSoft, Declined: true}
	tests := []struct {
		name string
		s    Standing
		o    Outcome
		to   recurrence.State
		code string
	}{
		{"first failed attempt", Standing{State: recurrence.Active}, soft, recurrence.PastDue, ""},
		{"failed again", Standing{State: recurrence.PastDue}, soft, recurrence.PastDue, ""},
		{"a retry that never left", Standing{State: recurrence.Active}, again, recurrence.Active, ""},
		{"retries over", Standing{State: recurrence.PastDue}, over, recurrence.Hold, recurrence.CodeRetriesOver},
		{"hard decline", Standing{State: recurrence.Active}, hard, recurrence.Hold, recurrence.CodeHardDecline},
		{"hard decline of a retry", Standing{State: recurrence.PastDue}, hard, recurrence.Hold, recurrence.CodeHardDecline},
		{"lost card", Standing{State: recurrence.Active}, lost, recurrence.Hold, recurrence.CodeCardInvalid},
		{"action needed", Standing{State: recurrence.Active}, act, recurrence.Hold, recurrence.CodeRequiresAction},
		{"paid on time", Standing{State: recurrence.Active}, paid, recurrence.Active, ""},
		{"paid at last", Standing{State: recurrence.PastDue}, paid, recurrence.Active, ""},
		{"paid, and an older one is not", Standing{State: recurrence.PastDue, OthersUnpaid: true}, paid, recurrence.PastDue, ""},
		{"a new card is charged", Standing{State: recurrence.Hold, Asked: true, NewCard: true}, paid, recurrence.Active, ""},
		{"a new card is charged for one of two", Standing{State: recurrence.Hold, Asked: true, NewCard: true, OthersUnpaid: true}, paid, recurrence.Hold, ""},
		{"a new card is declined", Standing{State: recurrence.PastDue, Asked: true, NewCard: true}, soft, recurrence.Hold, recurrence.CodeRetriesOver},
		{"a new card is not asked", Standing{State: recurrence.PastDue, Asked: true, NewCard: true}, unasked, recurrence.PastDue, ""},
		{"a new card of an active one is not asked", Standing{State: recurrence.Active, Asked: true, NewCard: true}, unasked, recurrence.PastDue, ""},
		{"a new card is not asked on hold", Standing{State: recurrence.Hold, Asked: true, NewCard: true}, unasked, recurrence.Hold, ""},
		{"a new card is declined on hold", Standing{State: recurrence.Hold, Asked: true, NewCard: true}, hard, recurrence.Hold, ""},
		{"a doubt ends well on hold", Standing{State: recurrence.Hold}, paid, recurrence.Hold, ""},
		{"a person's charge of an invalid card", Standing{State: recurrence.Hold, Asked: true, CardInvalid: true}, paid, recurrence.Hold, ""},
		{"paused stays paused when paid", Standing{State: recurrence.Paused}, paid, recurrence.Paused, ""},
		{"paused stays paused when declined", Standing{State: recurrence.Paused}, hard, recurrence.Paused, ""},
		{"cancelled stays cancelled", Standing{State: recurrence.Cancelled}, soft, recurrence.Cancelled, ""},
		{"a doubt", Standing{State: recurrence.Active}, Outcome{State: Unknown}, recurrence.Active, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if to, code := tt.s.After(tt.o); to != tt.to || code != tt.code {
				t.Errorf("After = %s %q, want %s %q", to, code, tt.to, tt.code)
			}
		})
	}
}

func TestFailuresInARowInvalidateACard(t *testing.T) {
	t.Parallel()
	declined, failures := Outcome{Card: CardDeclined}, 0
	for n := 1; n <= 5; n++ {
		after, invalid := declined.Failures(failures, 5)
		if after != n || invalid != (n == 5) {
			t.Errorf("decline %d: %d failures, invalid %v", n, after, invalid)
		}
		failures = after
	}
	if after, invalid := (Outcome{Card: CardPaid}).Failures(4, 5); after != 0 || invalid {
		t.Errorf("paid: %d failures, invalid %v", after, invalid)
	}
	if after, invalid := (Outcome{}).Failures(4, 5); after != 4 || invalid {
		t.Errorf("a doubt: %d failures, invalid %v", after, invalid)
	}
	if _, invalid := (Outcome{Card: CardInvalidate}).Failures(0, 5); !invalid {
		t.Error("a lost card stays valid")
	}
	if _, invalid := declined.Failures(1000, 0); invalid {
		t.Error("without a limit a card became invalid")
	}
}
