package imports

import (
	"context"
	"time"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts/internal/imports/db"
)

// destination is what is known of where a payee is paid, beside the wallet itself.
type destination struct {
	unconfirmed     bool
	trustedPhone    string
	trustedProvider string
	changedAt       time.Time // zero: never, or back at the trusted one
	changedBy       string
}

// arrivals judges wallets that a file brings.
type arrivals struct {
	confirmFirst bool
	actor        string
	now          time.Time
}

func (im *Importer) arrivals(ctx context.Context, t config.Tenant) arrivals {
	actor, _ := auth.ActorFrom(ctx)
	a := arrivals{actor: actor.Name, now: im.Clock.Now()}
	if t.Payouts != nil {
		a.confirmFirst = t.Payouts.ConfirmFirstDestination
	}
	return a
}

func destinationOf(k db.ReadPayeesRow) destination {
	d := destination{
		unconfirmed: k.Unconfirmed, trustedPhone: k.TrustedPhone, trustedProvider: k.TrustedProvider, changedBy: k.DestinationChangedBy,
	}
	if k.DestinationChangedAt != nil {
		d.changedAt = *k.DestinationChangedAt
	}
	return d
}

// move is the destination of a payee whose wallet becomes that of p. A first wallet is trusted, unless the tenant wants it
// confirmed; so is the one that was trusted before. Any other one waits for a second person, and from now for the cool-off.
// No wallet at all needs nobody: nothing can be paid to it.
func (a arrivals) move(d destination, p payee) destination {
	switch {
	case p.phone == "":
		d.unconfirmed = false
	case p.phone == d.trustedPhone && p.provider == d.trustedProvider:
		d.unconfirmed, d.changedAt, d.changedBy = false, time.Time{}, ""
	case d.trustedPhone == "" && !a.confirmFirst:
		d.unconfirmed, d.trustedPhone, d.trustedProvider = false, p.phone, p.provider
	default:
		d.unconfirmed, d.changedAt, d.changedBy = true, a.now, a.actor
	}
	return d
}

// sign keeps who brought the number of a payee, and who the name: whoever changes one of them has not brought the other.
func (a arrivals) sign(c *db.UpdatePayeesParams, p payee, known db.ReadPayeesRow) {
	wallet, name := known.WalletBy, known.NameBy
	if p.phone != known.Phone {
		wallet = a.actor
	}
	if p.name != known.Name {
		name = a.actor
	}
	c.WalletBys, c.NameBys = append(c.WalletBys, wallet), append(c.NameBys, name)
}

func insertDestination(in *db.InsertPayeesParams, d destination) {
	in.Unconfirmed, in.TrustedPhones = append(in.Unconfirmed, d.unconfirmed), append(in.TrustedPhones, d.trustedPhone)
	in.TrustedProviders = append(in.TrustedProviders, d.trustedProvider)
	in.ChangedAts, in.ChangedBys = append(in.ChangedAts, d.changedAt), append(in.ChangedBys, d.changedBy)
}

func updateDestination(c *db.UpdatePayeesParams, d destination, known db.ReadPayeesRow) {
	c.Unconfirmed, c.TrustedPhones = append(c.Unconfirmed, d.unconfirmed), append(c.TrustedPhones, d.trustedPhone)
	c.TrustedProviders = append(c.TrustedProviders, d.trustedProvider)
	c.ChangedAts, c.ChangedBys = append(c.ChangedAts, d.changedAt), append(c.ChangedBys, d.changedBy)
	c.KnownUnconfirmed, c.KnownTrustedPhones = append(c.KnownUnconfirmed, known.Unconfirmed), append(c.KnownTrustedPhones, known.TrustedPhone)
	c.KnownTrustedProviders = append(c.KnownTrustedProviders, known.TrustedProvider)
}
