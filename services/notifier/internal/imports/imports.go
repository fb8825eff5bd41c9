// Package imports takes push tokens from files. Doing a file again changes nothing.
package imports

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/language"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// columns of a file. A token is a secret: who has it and the project's key can push to the device.
var columns = rows.Columns{Required: 3, Secret: true, Names: []string{"user_id", "token", "platform", "locale"}}

// Devices imports registrations in a format, "csv" or "jsonl". An error means that the import ended early; what was stored
// until then stays, and the same file can be sent again.
func Devices(ctx context.Context, st *store.Store, tenant, format string, r io.Reader, sink rows.Sink) (rows.Counts, error) {
	file, err := rows.NewReader(format, r, columns)
	if err != nil {
		return rows.Counts{}, err
	}
	k := rows.Keeper{Pool: st.Pool, Outbox: st.Outbox, Clock: st.Clock, Service: store.Service, Action: "ImportDevices", Tenant: tenant}
	in := rows.Intake[store.Registration]{Parse: parse, Sink: sink, Keep: rows.Keep(k, func(ctx context.Context, tx pgx.Tx, batch []store.Registration) (rows.Stored, error) {
		return register(ctx, tx, st, tenant, batch)
	})}
	return in.Run(ctx, file)
}

// register stores a batch. A token that comes twice belongs to the later row, which therefore is stored after the first one.
func register(ctx context.Context, tx pgx.Tx, st *store.Store, tenant string, batch []store.Registration) (sum rows.Stored, err error) {
	for len(batch) > 0 {
		n := distinct(batch)
		counts, err := st.Register(ctx, tx, tenant, batch[:n])
		if err != nil {
			return rows.Stored{}, err
		}
		sum.Inserted, sum.Updated, sum.Unchanged = sum.Inserted+counts.Inserted, sum.Updated+counts.Updated, sum.Unchanged+counts.Unchanged
		batch = batch[n:]
	}
	return sum, nil
}

// distinct is how many rows there are before a token comes again.
func distinct(batch []store.Registration) int {
	seen := make(map[string]bool, len(batch))
	for i, r := range batch {
		if seen[r.Token] {
			return i
		}
		seen[r.Token] = true
	}
	return len(batch)
}

const (
	maxUser  = 128
	maxToken = 1024
)

// parse refuses what could never be pushed to.
func parse(rec rows.Record) (store.Registration, *rows.Error) {
	v := func(name string) string { return strings.Clone(rec.Values[columns.Index(name)]) }
	reg := store.Registration{UserID: v("user_id"), Token: v("token"), Platform: v("platform"), Locale: v("locale")}
	refuse := func(field, format string, args ...any) (store.Registration, *rows.Error) {
		return store.Registration{}, &rows.Error{Line: rec.Line, Field: field, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case reg.UserID == "":
		return refuse("user_id", "missing")
	case len(reg.UserID) > maxUser || !printable(reg.UserID) || strings.TrimSpace(reg.UserID) != reg.UserID:
		return refuse("user_id", "must be at most %d printable characters without spaces around them", maxUser)
	case reg.Token == "":
		return refuse("token", "missing")
	case len(reg.Token) > maxToken || strings.ContainsFunc(reg.Token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return refuse("token", "must be at most %d ASCII characters without spaces; this one has %d bytes", maxToken, len(reg.Token))
	case reg.Platform != "android" && reg.Platform != "ios" && reg.Platform != "web":
		return refuse("platform", "must be android, ios or web")
	}
	if reg.Locale != "" {
		tag, err := language.Parse(reg.Locale)
		if err != nil {
			return refuse("locale", "must be a language tag such as fr-CI, or empty for the tenant's")
		}
		reg.Locale = tag.String() // one spelling: fr_ci is fr-CI
	}
	return reg, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
