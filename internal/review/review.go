// Package review keeps what people say about attempts that neither time nor the provider has cleared up. One person
// proposes, a second one gives the same words, and nobody is believed that nothing moved unless the provider, asked after
// the first had spoken, says nothing else.
package review

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/review/db"
	"github.com/agogopay/agogo/internal/rpc"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the table of proposals.
var Migrations = pg.Set{Name: "review", FS: migrations, Dir: "migrations"}

// The outcomes that people can decide.
const (
	Paid    = "paid"
	NotPaid = "not_paid"
)

// Words are what a person says about an attempt.
type Words struct {
	Subject  uuid.UUID
	Attempt  int
	Paid     bool
	Again    bool // not paid, and to be paid by another attempt
	Evidence string
}

// Proposal is what the first person said, and what the provider has said since.
type Proposal struct {
	Words
	Actor      string
	ProposedAt time.Time
	LookupAt   *time.Time // of the newest lookup that was answered after the proposal
	LookupSaid string
}

// Outcome is what is said, in one word.
func (w Words) Outcome() string {
	if w.Paid {
		return Paid
	}
	return NotPaid
}

// Check refuses words that contradict themselves.
func (w Words) Check() error {
	if w.Again && w.Paid {
		return rpc.Invalid("pay_again", "goes with outcome not_paid: what was paid is not paid again")
	}
	return nil
}

// Said is what a person's words come to.
type Said struct {
	Agreed bool
	// Replaces is who had proposed something else, which nobody can agree to any more.
	Replaces string
}

// Say records the first person's words, and reports that they are agreed on when a second one gives the same. Other words
// begin anew. Every proposal has the provider asked; not paid is only agreed on a lookup that was answered after it. The
// caller holds the attempts' rows. Refusals are errors of package rpc.
func Say(ctx context.Context, tx pgx.Tx, at time.Time, w Words, actor string) (Said, error) {
	if err := w.Check(); err != nil {
		return Said{}, err
	}
	row, err := db.New(tx).LockProposal(ctx, w.Subject)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Said{}, fmt.Errorf("read the proposal for %s: %w", w.Subject, err)
	}
	before := fromRow(row)
	switch {
	case err != nil || before.Words != w:
		return Said{Replaces: before.Actor}, propose(ctx, tx, at, w, actor)
	case before.Actor == actor:
		return Said{}, nil // said already, and still waiting for somebody else
	default:
		err := before.provable()
		return Said{Agreed: err == nil}, err
	}
}

// propose keeps the words and has the provider asked again.
func propose(ctx context.Context, tx pgx.Tx, at time.Time, w Words, actor string) error {
	err := db.New(tx).Propose(ctx, db.ProposeParams{
		SubjectID: w.Subject, Attempt: int32(w.Attempt), Outcome: w.Outcome(), PayAgain: w.Again, Evidence: w.Evidence, Actor: actor, Now: at,
	})
	if err != nil {
		return fmt.Errorf("propose for %s: %w", w.Subject, err)
	}
	_, err = attempt.Ask(ctx, tx, at, w.Subject)
	return err
}

// provable refuses not paid unless a lookup that was made after the proposal found a failure, or nothing, as others before
// it did. No evidence of people outweighs a provider that has not been asked.
func (p Proposal) provable() error {
	switch {
	case p.Paid, p.LookupAt != nil && (p.LookupSaid == SaidAbsent || p.LookupSaid == SaidFailed):
		return nil
	case p.LookupAt == nil:
		return Outstanding("no lookup after the proposal has proven anything yet")
	default:
		return rpc.Refused("lookup_contradicts", p.instead(), "the lookup after the proposal said %q, which speaks against not_paid", p.LookupSaid)
	}
}

// instead is what is left to say where the provider speaks against not_paid.
func (p Proposal) instead() string {
	switch p.LookupSaid {
	case SaidPending:
		return "it is at work on it: wait for its outcome, it is asked on. What stays unproven stays in review"
	case SaidDiffers:
		return "something moved under this reference, or may: look at the provider's own record. What moved is paid, over whatever sum; what stays unproven stays in review"
	default:
		return "look at the provider's own record: if that is the transfer, it was paid. What stays unproven stays in review"
	}
}

// Outstanding refuses a decision that a lookup is to come before.
func Outstanding(why string) error {
	return rpc.Refused("lookup_outstanding", "the provider is being asked; give the same command again in a moment", "%s", why)
}

// Settled refuses a decision about an attempt while a lookup of it is due or under way: a webhook has spoken since, say, and
// what people knew when they agreed may be over.
func Settled(a attempt.Attempt, now time.Time) error {
	if due := a.NextLookupAt; due != nil && !due.After(now) {
		return Outstanding("the provider is to be asked about the attempt now")
	}
	return nil
}

// Drop forgets what was said about subjects that left review: the next review of one is about something else.
func Drop(ctx context.Context, tx pgx.Tx, subjects ...uuid.UUID) error {
	if len(subjects) == 0 {
		return nil
	}
	if err := db.New(tx).DropProposals(ctx, subjects); err != nil {
		return fmt.Errorf("drop proposals about what left review: %w", err)
	}
	return nil
}

// Of reads the proposals about subjects; one that nobody has spoken about is absent.
func Of(ctx context.Context, q db.DBTX, subjects ...uuid.UUID) (map[uuid.UUID]Proposal, error) {
	rows, err := db.New(q).ProposalsOf(ctx, subjects)
	if err != nil {
		return nil, fmt.Errorf("read proposals: %w", err)
	}
	all := make(map[uuid.UUID]Proposal, len(rows))
	for _, r := range rows {
		all[r.SubjectID] = fromRow(r)
	}
	return all, nil
}

func fromRow(r db.Proposal) Proposal {
	return Proposal{
		Words: Words{Subject: r.SubjectID, Attempt: int(r.Attempt), Paid: r.Outcome == Paid, Again: r.PayAgain, Evidence: r.Evidence},
		Actor: r.Actor, ProposedAt: r.ProposedAt, LookupAt: r.LookupAt, LookupSaid: r.LookupSaid,
	}
}
