package imports

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/language"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/rows"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/imports/db"
)

var payeeColumns = rows.Columns{Required: 5, Names: []string{"payee_id", "name", "phone", "provider", "locale"}}

// payee is a checked row, and a payee as they are or will be.
type payee struct {
	id       string
	name     string
	phone    string
	provider string
	locale   string
}

type payeeCheck struct {
	providers map[string]config.Provider
	phones    *phones
}

func newPayeeCheck(t config.Tenant) payeeCheck {
	return payeeCheck{providers: t.Providers, phones: &phones{region: region(t.Locale)}}
}

func (c payeeCheck) parse(r rows.Record) (payee, *rows.Error) {
	v := func(name string) string { return r.Values[payeeColumns.Index(name)] }
	p := payee{
		id: strings.Clone(v("payee_id")), name: strings.Clone(v("name")), provider: strings.Clone(v("provider")), locale: strings.Clone(v("locale")),
	}
	var wrong string
	refuse := func(field string) (payee, *rows.Error) {
		return payee{}, &rows.Error{Line: r.Line, Field: field, Message: wrong}
	}
	if wrong = rows.CheckID(p.id); wrong != "" {
		return refuse("payee_id")
	}
	if wrong = rows.CheckText(p.name); wrong != "" {
		return refuse("name")
	}
	if p.phone, wrong = c.phones.parse(v("phone")); wrong != "" {
		return refuse("phone")
	}
	if _, ok := c.providers[p.provider]; p.provider != "" && !ok {
		wrong = fmt.Sprintf("%s is no provider of the tenant: %s", rows.Shape(p.provider), strings.Join(slices.Sorted(maps.Keys(c.providers)), ", "))
		return refuse("provider")
	}
	if p.locale != "" {
		if _, err := language.Parse(p.locale); err != nil {
			wrong = rows.Shape(p.locale) + " is no locale such as fr-CI"
			return refuse("locale")
		}
	}
	return p, nil
}

// storePayees stores a batch; the last row of a payee is the one that counts.
func (im *Importer) storePayees(ctx context.Context, tx pgx.Tx, t config.Tenant, batch []payee) (rows.Stored, error) {
	wanted := make(map[string]payee, len(batch))
	for _, p := range batch {
		wanted[p.id] = p
	}
	inserted, updated, err := im.savePayees(ctx, tx, t, wanted, func(_, given payee) payee { return given })
	if err != nil {
		return rows.Stored{}, err
	}
	return rows.Stored{Inserted: inserted, Updated: updated, Unchanged: int64(len(batch)) - inserted - updated}, nil
}

// savePayees inserts and updates payees, and tells of changed wallets. merge says what a known payee becomes.
func (im *Importer) savePayees(ctx context.Context, tx pgx.Tx, t config.Tenant, wanted map[string]payee, merge func(known, given payee) payee) (inserted, updated int64, err error) {
	if len(wanted) == 0 {
		return 0, 0, nil
	}
	q, tenant, came := db.New(tx), t.ID, im.arrivals(ctx, t)
	ids := slices.Sorted(maps.Keys(wanted))
	known, err := q.ReadPayees(ctx, db.ReadPayeesParams{Tenant: tenant, Ids: ids})
	if err != nil {
		return 0, 0, fmt.Errorf("read payees: %w", err)
	}
	change := db.UpdatePayeesParams{Tenant: tenant, Now: im.Clock.Now()}
	var msgs []outbox.Message
	for _, k := range known {
		before := payee{k.PayeeID, k.Name, k.Phone, k.Provider, k.Locale}
		after := merge(before, wanted[k.PayeeID])
		delete(wanted, k.PayeeID)
		if after == before {
			continue
		}
		version, dest := k.Version, destinationOf(k)
		if after.phone != before.phone || after.provider != before.provider {
			version++
			dest = came.move(dest, after)
			msg, err := im.destinationChanged(ctx, tenant, k.State, after, version)
			if err != nil {
				return 0, 0, err
			}
			msgs = append(msgs, msg)
		}
		addPayee(&change, after, version, k)
		came.sign(&change, after, k)
		updateDestination(&change, dest, k)
	}
	if err := im.updatePayees(ctx, tx, change, msgs); err != nil {
		return 0, 0, err
	}
	fresh := int64(len(wanted))
	return fresh, int64(len(change.PayeeIds)), im.insertPayees(ctx, q, tenant, came, wanted)
}

func addPayee(c *db.UpdatePayeesParams, p payee, version int64, known db.ReadPayeesRow) {
	c.PayeeIds, c.Names, c.Phones = append(c.PayeeIds, p.id), append(c.Names, p.name), append(c.Phones, p.phone)
	c.Providers, c.Locales = append(c.Providers, p.provider), append(c.Locales, p.locale)
	c.Versions, c.KnownVersions = append(c.Versions, version), append(c.KnownVersions, known.Version)
	c.KnownPhones, c.KnownStates = append(c.KnownPhones, known.Phone), append(c.KnownStates, known.State)
}

func (im *Importer) updatePayees(ctx context.Context, tx pgx.Tx, change db.UpdatePayeesParams, msgs []outbox.Message) error {
	if len(change.PayeeIds) == 0 {
		return nil
	}
	n, err := db.New(tx).UpdatePayees(ctx, change)
	if err != nil {
		return fmt.Errorf("update payees: %w", err)
	}
	if n != int64(len(change.PayeeIds)) {
		return rows.ErrRaced
	}
	if len(msgs) == 0 {
		return nil
	}
	return im.Outbox.Append(ctx, tx, msgs...)
}

func (im *Importer) insertPayees(ctx context.Context, q *db.Queries, tenant string, came arrivals, fresh map[string]payee) error {
	if len(fresh) == 0 {
		return nil
	}
	in := db.InsertPayeesParams{Tenant: tenant, Now: im.Clock.Now(), Actor: came.actor}
	for _, id := range slices.Sorted(maps.Keys(fresh)) {
		p := fresh[id]
		in.PayeeIds, in.Names, in.Phones = append(in.PayeeIds, p.id), append(in.Names, p.name), append(in.Phones, p.phone)
		in.Providers, in.Locales = append(in.Providers, p.provider), append(in.Locales, p.locale)
		insertDestination(&in, came.move(destination{}, p))
	}
	n, err := q.InsertPayees(ctx, in)
	if err != nil {
		return fmt.Errorf("insert payees: %w", err)
	}
	if n != int64(len(fresh)) {
		return rows.ErrRaced
	}
	return nil
}

// destinationChanged tells that a payee's wallet is another one, without saying which.
func (im *Importer) destinationChanged(ctx context.Context, tenant, state string, p payee, version int64) (outbox.Message, error) {
	body := &eventsv1.Payee{
		PayeeId: p.id, Tenant: tenant, State: state, PreviousState: state, Provider: p.provider, Locale: p.locale,
		Reason: &eventsv1.Reason{Scope: "payee", Code: "import"},
	}
	return im.Store.Event(ctx, tenant, "payee.destination_changed", p.id, version, body)
}
