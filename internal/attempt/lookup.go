package attempt

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt/db"
)

// Room is how many lookups of a connector may begin.
type Room struct {
	Tenant   string
	Provider string
	Most     int
}

// ClaimLookups takes attempts that are due to be asked about, for the length of a lookup; the same one is not handed out
// twice meanwhile. A lookup that is never recorded is due again when the lease ends.
func ClaimLookups(ctx context.Context, tx pgx.Tx, at time.Time, lease time.Duration, rooms ...Room) ([]Attempt, error) {
	p := db.ClaimLookupsParams{At: at, LeaseSeconds: lease.Seconds()}
	for _, r := range rooms {
		p.Tenants, p.Providers, p.Rooms = append(p.Tenants, r.Tenant), append(p.Providers, r.Provider), append(p.Rooms, int32(r.Most))
	}
	rows, err := db.New(tx).ClaimLookups(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("claim lookups: %w", err)
	}
	return fromRows(rows), nil
}

// ClaimUnserved is ClaimLookups for the attempts of all connectors but those served, which are named "<tenant>/<provider>".
func ClaimUnserved(ctx context.Context, tx pgx.Tx, at time.Time, lease time.Duration, served []string, limit int) ([]Attempt, error) {
	rows, err := db.New(tx).ClaimUnserved(ctx, db.ClaimUnservedParams{At: at, LeaseSeconds: lease.Seconds(), Served: served, PageLimit: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("claim lookups of unknown connectors: %w", err)
	}
	return fromRows(rows), nil
}

// UnderWay reports whether a send of a connector is under way in any replica, and keeps the others from asking until tx ends:
// whoever begins one only if not is alone.
func UnderWay(ctx context.Context, tx pgx.Tx, tenant, provider string) (bool, error) {
	q := db.New(tx)
	if err := q.LockConnector(ctx, db.LockConnectorParams{Tenant: tenant, Provider: provider}); err != nil {
		return false, fmt.Errorf("lock connector %s/%s: %w", tenant, provider, err)
	}
	busy, err := q.UnderWay(ctx, db.UnderWayParams{Tenant: tenant, Provider: provider})
	if err != nil {
		return false, fmt.Errorf("read sends of %s/%s: %w", tenant, provider, err)
	}
	return busy, nil
}

// Outstanding is what a connector's balance shows or not: the sum of sends that are under way in any replica, and of those sent
// after a time that are open: nobody knows what became of them, or the provider has accepted them and not paid yet.
func Outstanding(ctx context.Context, q db.DBTX, tenant, provider string, since time.Time) (underWay, doubtful int64, err error) {
	r, err := db.New(q).Outstanding(ctx, db.OutstandingParams{Tenant: tenant, Provider: provider, Since: since})
	if err != nil {
		return 0, 0, fmt.Errorf("add up what is outstanding at %s/%s: %w", tenant, provider, err)
	}
	return r.UnderWay, r.Doubtful, nil
}

// Update is a decision about an attempt as it was when the decision was made.
type Update struct {
	Attempt  Attempt
	Decision Decision
	// Lookup is set when the decision came from asking the provider.
	Lookup bool
}

// RecordLookups applies decisions, set-based, and returns the attempts that changed, as they are now. One that is missing
// was changed by somebody else since; it is due again.
func RecordLookups(ctx context.Context, tx pgx.Tx, at time.Time, updates []Update) ([]Attempt, error) {
	if len(updates) == 0 {
		return nil, nil
	}
	p := db.MoveParams{At: at}
	for _, u := range updates {
		d, r := u.Decision, u.Decision.Result
		p.SubjectIds, p.Numbers = append(p.SubjectIds, u.Attempt.Subject), append(p.Numbers, int32(u.Attempt.Number))
		p.Versions, p.States, p.Opens = append(p.Versions, u.Attempt.Version), append(p.States, string(d.State)), append(p.Opens, d.State.Open())
		p.Classes, p.Scopes, p.Codes = append(p.Classes, string(r.Class)), append(p.Scopes, string(r.Scope)), append(p.Codes, r.Code)
		p.ProviderCodes, p.ProviderIds = append(p.ProviderCodes, r.ProviderCode), append(p.ProviderIds, r.ProviderID)
		p.Fees, p.Accepteds = append(p.Fees, feeOrNone(r.Fee)), append(p.Accepteds, d.Accepted)
		p.NextLookups, p.Lookups = append(p.NextLookups, timeOrZero(d.NextLookup)), append(p.Lookups, count(u.Lookup))
		p.AbsentReads, p.FirstAbsents = append(p.AbsentReads, int32(d.AbsentReads)), append(p.FirstAbsents, timeOrZero(d.FirstAbsent))
		p.Denieds, p.Tolds = append(p.Denieds, u.Lookup && d.denied()), append(p.Tolds, u.told())
	}
	rows, err := db.New(tx).Move(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("record lookups: %w", err)
	}
	return fromRows(rows), nil
}

// told is what the answer tells that moves or has moved, in our money: what people call paid is that. -1: nothing new.
func (u Update) told() int64 {
	d := u.Decision
	switch {
	case d.Ours, d.Ended != "" && refused(d.Ended):
		return 0
	case d.Ended == "" || d.Amount == nil:
		return -1
	case d.Amount.Currency != u.Attempt.Amount.Currency:
		return 0
	default:
		return d.Amount.Minor
	}
}

func count(yes bool) int32 {
	if yes {
		return 1
	}
	return 0
}

// Lock reads attempts for a change by a person, in key order.
func Lock(ctx context.Context, tx pgx.Tx, keys ...Key) ([]Attempt, error) {
	var p db.LockAttemptsParams
	for _, k := range keys {
		p.SubjectIds, p.Numbers = append(p.SubjectIds, k.Subject), append(p.Numbers, int32(k.Number))
	}
	rows, err := db.New(tx).LockAttempts(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("lock attempts: %w", err)
	}
	return fromRows(rows), nil
}

// LockSubject reads all attempts of a tenant's subject for a change by a person, oldest first.
func LockSubject(ctx context.Context, tx pgx.Tx, tenant string, subject uuid.UUID) ([]Attempt, error) {
	rows, err := db.New(tx).LockSubject(ctx, db.LockSubjectParams{Tenant: tenant, SubjectID: subject})
	if err != nil {
		return nil, fmt.Errorf("lock attempts of %s: %w", subject, err)
	}
	return fromRows(rows), nil
}

// OfReferences reads the attempts that a tenant's provider knows by these references; unknown ones are absent.
func OfReferences(ctx context.Context, q db.DBTX, tenant, provider string, references []string) (map[string]Attempt, error) {
	rows, err := db.New(q).OfReferences(ctx, db.OfReferencesParams{Tenant: tenant, Provider: provider, Refs: references})
	if err != nil {
		return nil, fmt.Errorf("read attempts by reference: %w", err)
	}
	known := make(map[string]Attempt, len(rows))
	for _, a := range fromRows(rows) {
		known[a.Reference] = a
	}
	return known, nil
}

// OfProviderIDs finds the references of the attempts that a tenant's provider has given these ids; unknown ones are absent. It
// is a webhook.Names. The table of attempts has no index for it: a service whose providers name transfers by their own ids in
// webhooks makes one in its migrations, as recurrences does.
func OfProviderIDs(ctx context.Context, tx pgx.Tx, tenant, provider string, ids []string) (map[string]string, error) {
	rows, err := db.New(tx).OfProviderIDs(ctx, db.OfProviderIDsParams{Tenant: tenant, Provider: provider, ProviderIds: ids})
	if err != nil {
		return nil, fmt.Errorf("read attempts by the provider's id: %w", err)
	}
	references := make(map[string]string, len(rows))
	for _, r := range rows {
		references[r.ProviderID] = r.Reference
	}
	return references, nil
}

// Hint makes the attempts of references due now, closed ones too, and returns the references of those. Missing is what does
// not exist, and what somebody is recording at this moment: hint at that again.
func Hint(ctx context.Context, tx pgx.Tx, at time.Time, tenant, provider string, references []string) ([]string, error) {
	if len(references) == 0 {
		return nil, nil
	}
	hinted, err := db.New(tx).Hint(ctx, db.HintParams{At: at, Tenant: tenant, Provider: provider, Refs: references})
	if err != nil {
		return nil, fmt.Errorf("hint at attempts: %w", err)
	}
	return hinted, nil
}

// BackAsk is one time that a provider is asked to give back what an attempt paid.
type BackAsk struct {
	Key
	At      time.Time
	Version int64 // of the attempt, as it is from then on
}

// AskBack notes that the provider is being asked to give back what an attempt paid: from the time of the first lookup on it is asked what
// came of it, by the schedule, until it tells or people have to. It reports false when nothing was paid.
func AskBack(ctx context.Context, tx pgx.Tx, at, first time.Time, k Key) (BackAsk, bool, error) {
	versions, err := db.New(tx).AskBack(ctx, db.AskBackParams{At: at, First: first, SubjectID: k.Subject, Number: int32(k.Number)})
	if err != nil {
		return BackAsk{}, false, fmt.Errorf("note that attempt %d of %s is asked back: %w", k.Number, k.Subject, err)
	}
	if len(versions) == 0 {
		return BackAsk{}, false, nil
	}
	return BackAsk{Key: k, At: at, Version: versions[0]}, true, nil
}

// KeepPaid notes that the provider was not asked after all, or has refused that ask: nothing is waited for, unless it was asked before, or has
// been since.
func KeepPaid(ctx context.Context, tx pgx.Tx, a BackAsk) error {
	err := db.New(tx).KeepPaid(ctx, db.KeepPaidParams{At: a.At, Version: a.Version, SubjectID: a.Subject, Number: int32(a.Number)})
	if err != nil {
		return fmt.Errorf("note that attempt %d of %s stays paid: %w", a.Number, a.Subject, err)
	}
	return nil
}

// Ask makes the open attempts of one subject due now; a lookup that is under way already will not count.
func Ask(ctx context.Context, tx pgx.Tx, at time.Time, subject uuid.UUID) (int, error) {
	n, err := db.New(tx).AskSubject(ctx, db.AskSubjectParams{At: at, SubjectID: subject})
	if err != nil {
		return 0, fmt.Errorf("ask about attempts of %s: %w", subject, err)
	}
	return int(n), nil
}

// Doubt puts attempts in doubt again, and returns them, that were sent, count as never created since, and whose reference is not to go again
// by itself: they are looked up from now on. What is missing is being asked about already, or was never sent. The caller holds the
// subjects' rows.
func Doubt(ctx context.Context, tx pgx.Tx, at time.Time, code string, keys ...Key) ([]Attempt, error) {
	p := db.DoubtParams{At: at, Code: code}
	for _, k := range keys {
		p.SubjectIds, p.Numbers = append(p.SubjectIds, k.Subject), append(p.Numbers, int32(k.Number))
	}
	rows, err := db.New(tx).Doubt(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("put attempts in doubt again: %w", err)
	}
	return fromRows(rows), nil
}

// AskPage makes a page of a tenant's open attempts due now, of any age, and returns where the next page begins; "" is both
// the beginning and the end.
func AskPage(ctx context.Context, tx pgx.Tx, at time.Time, tenant, after string, limit int) (next string, asked int, err error) {
	k, err := parseCursor(after)
	if err != nil {
		return "", 0, err
	}
	rows, err := db.New(tx).AskPage(ctx, db.AskPageParams{
		At: at, Tenant: tenant, AfterSubject: k.Subject, AfterNumber: int32(k.Number), PageLimit: int32(limit),
	})
	if err != nil {
		return "", 0, fmt.Errorf("ask about open attempts of %s: %w", tenant, err)
	}
	if len(rows) == 0 {
		return "", 0, nil
	}
	last := rows[len(rows)-1]
	if len(rows) == limit {
		next = fmt.Sprintf("%s/%d", last.SubjectID, last.Number)
	}
	return next, int(last.Asked), nil
}

func parseCursor(s string) (Key, error) {
	if s == "" {
		return Key{}, nil
	}
	id, n, _ := strings.Cut(s, "/")
	subject, err := uuid.Parse(id)
	if err != nil {
		return Key{}, fmt.Errorf("cursor %q is not <subject id>/<attempt number>: %w", s, err)
	}
	number, err := strconv.ParseInt(n, 10, 32)
	if err != nil {
		return Key{}, fmt.Errorf("cursor %q is not <subject id>/<attempt number>: %w", s, err)
	}
	return Key{Subject: subject, Number: int(number)}, nil
}

// OfSubjects reads all attempts of subjects, oldest first per subject.
func OfSubjects(ctx context.Context, q db.DBTX, subjects ...uuid.UUID) (map[uuid.UUID][]Attempt, error) {
	rows, err := db.New(q).OfSubjects(ctx, subjects)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	all := map[uuid.UUID][]Attempt{}
	for _, r := range rows {
		all[r.SubjectID] = append(all[r.SubjectID], fromRow(r))
	}
	return all, nil
}

// Age is how many attempts of a connector are open in a state, and since when the oldest is.
type Age struct {
	Tenant   string
	Provider string
	State    State
	Count    int64
	Oldest   time.Time
}

// Ageing reads the open attempts' numbers and ages, for metrics and alerts.
func Ageing(ctx context.Context, q db.DBTX) ([]Age, error) {
	rows, err := db.New(q).Ageing(ctx)
	if err != nil {
		return nil, fmt.Errorf("read ages of open attempts: %w", err)
	}
	ages := make([]Age, 0, len(rows))
	for _, r := range rows {
		ages = append(ages, Age{Tenant: r.Tenant, Provider: r.Provider, State: State(r.State), Count: r.Count, Oldest: r.Oldest})
	}
	return ages, nil
}
