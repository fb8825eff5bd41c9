package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// ledgers are the services that keep books, each its own.
var ledgers = []string{"payouts", "recurrences"}

// ledgerCommand asks every service that keeps books, since a tenant may pay out, charge, or both.
func (a *app) ledgerCommand() *cobra.Command {
	return noun("ledger", "The books: double entry, append-only", a.balancesCommand(), a.entriesCommand(), a.verifyCommand())
}

// bookOf is a line of a service's books. Programs get the line alone, and choose the service if it matters.
type bookOf[T proto.Message] struct {
	service string
	line    T
}

// ofLine makes a column of a line one of the line with its service.
func ofLine[T proto.Message](c column[T]) column[bookOf[T]] {
	return column[bookOf[T]]{title: c.title, right: c.right, cell: func(b bookOf[T]) string { return c.cell(b.line) }}
}

// asked lists the services whose books are meant: the one that a flag names, or those that the context has.
func (a *app) asked(only string) ([]string, error) {
	if only != "" && !slices.Contains(ledgers, only) {
		return nil, usagef("--service takes %s, not %q", strings.Join(ledgers, " or "), only)
	}
	info, err := a.info()
	if err != nil {
		return nil, err
	}
	var services []string
	for _, s := range ledgers {
		if _, ok := info.GRPC[s]; s == only || only == "" && ok {
			services = append(services, s)
		}
	}
	if services == nil {
		return nil, errors.New("the context names no service that keeps books: start Agogo with 'agogo dev', or without --only")
	}
	return services, nil
}

// books prints what each service's books say, page by page.
func books[T proto.Message](a *app, only string, columns []column[T], page func(service, tenant, token string) ([]T, string, error)) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	tenant, err := a.oneTenant()
	if err != nil {
		return err
	}
	services, err := a.asked(only)
	if err != nil {
		return err
	}
	list := listing[bookOf[T]]{app: a, encode: func(b bookOf[T]) ([]byte, error) { return jsonOutput.Marshal(b.line) }}
	if len(services) > 1 {
		list.columns = append(list.columns, col("service", func(b bookOf[T]) string { return b.service }))
	}
	for _, c := range columns {
		list.columns = append(list.columns, ofLine(c))
	}
	for _, s := range services {
		for token, first := "", true; first || token != ""; first = false {
			items, next, err := page(s, tenant, token)
			if err != nil {
				return err
			}
			for _, m := range items {
				if err := list.add(bookOf[T]{s, m}); err != nil {
					return err
				}
			}
			token = next
		}
	}
	return list.end()
}

// balanceLine and its like are what the messages of both services have.
type balanceLine interface {
	proto.Message
	GetAccount() string
	GetDebit() *eventsv1.Money
	GetCredit() *eventsv1.Money
	GetBalance() *eventsv1.Money
}

func balanceColumns[T balanceLine]() []column[T] {
	return []column[T]{
		col("account", T.GetAccount),
		num("debit", func(b T) string { return amount(b.GetDebit()) }),
		num("credit", func(b T) string { return amount(b.GetCredit()) }),
		num("balance", func(b T) string { return amount(b.GetBalance()) }),
	}
}

func (a *app) balancesCommand() *cobra.Command {
	var prefix, service string
	c := leaf("balances", "Balance of every account (debit minus credit)", exactly(), func(c *cobra.Command, _ []string) error {
		return books(a, service, balanceColumns[balanceLine](), func(service, tenant, token string) ([]balanceLine, string, error) {
			return a.balances(c.Context(), service, tenant, prefix, token)
		})
	}, "agogo ledger balances --tenant lebenis", "agogo ledger balances --tenant wallclub --prefix seller_payable:")
	c.Flags().StringVar(&prefix, "prefix", "", "only accounts that begin so")
	ofService(c, &service)
	return c
}

func ofService(c *cobra.Command, service *string) {
	c.Flags().StringVar(service, "service", "", "only the books of this one: "+strings.Join(ledgers, " or "))
}

func (a *app) balances(ctx context.Context, service, tenant, prefix, token string) ([]balanceLine, string, error) {
	if service == "payouts" {
		client, err := a.payouts()
		if err != nil {
			return nil, "", err
		}
		r, err := client.ListBalances(ctx, &payoutsv1.ListBalancesRequest{Tenant: tenant, AccountPrefix: prefix, PageSize: 1000, PageToken: token})
		return lines[balanceLine](r.GetItems()), r.GetNextPageToken(), err
	}
	client, err := a.recurrences()
	if err != nil {
		return nil, "", err
	}
	r, err := client.ListBalances(ctx, &recurrencesv1.ListBalancesRequest{Tenant: tenant, AccountPrefix: prefix, PageSize: 1000, PageToken: token})
	return lines[balanceLine](r.GetItems()), r.GetNextPageToken(), err
}

// lines sees messages as what they have in common with those of another service.
func lines[L any, T any](items []T) []L {
	all := make([]L, len(items))
	for i, m := range items {
		all[i] = any(m).(L) //nolint:forcetypeassert // the caller names an interface that T has
	}
	return all
}

type postingLine interface {
	proto.Message
	GetOccurredAt() *timestamppb.Timestamp
	GetKind() string
	GetDebit() string
	GetCredit() string
	GetAmount() *eventsv1.Money
	GetRef() string
}

var postingColumns = []column[postingLine]{
	col("occurred (utc)", func(p postingLine) string { return when(p.GetOccurredAt()) }),
	col("kind", postingLine.GetKind),
	col("debit", postingLine.GetDebit),
	col("credit", postingLine.GetCredit),
	num("amount", func(p postingLine) string { return amount(p.GetAmount()) }),
	col("ref", postingLine.GetRef),
}

func (a *app) entriesCommand() *cobra.Command {
	var account, ref, service string
	c := leaf("entries", "List postings, oldest first", exactly(), func(c *cobra.Command, _ []string) error {
		return books(a, service, postingColumns, func(service, tenant, token string) ([]postingLine, string, error) {
			return a.postings(c.Context(), service, &payoutsv1.ListPostingsRequest{Tenant: tenant, Account: account, Ref: ref, PageSize: 1000, PageToken: token})
		})
	}, "agogo ledger entries --account payable:drv-01", "agogo ledger entries --ref 0b1c…/1 --service recurrences")
	c.Flags().StringVar(&account, "account", "", "only of this account")
	c.Flags().StringVar(&ref, "ref", "", "only about this payment or payout, or this attempt of a charge")
	ofService(c, &service)
	return c
}

func (a *app) postings(ctx context.Context, service string, r *payoutsv1.ListPostingsRequest) ([]postingLine, string, error) {
	if service == "payouts" {
		client, err := a.payouts()
		if err != nil {
			return nil, "", err
		}
		resp, err := client.ListPostings(ctx, r)
		return lines[postingLine](resp.GetItems()), resp.GetNextPageToken(), err
	}
	client, err := a.recurrences()
	if err != nil {
		return nil, "", err
	}
	resp, err := client.ListPostings(ctx, &recurrencesv1.ListPostingsRequest{
		Tenant: r.Tenant, Account: r.Account, Ref: r.Ref, PageSize: r.PageSize, PageToken: r.PageToken,
	})
	return lines[postingLine](resp.GetItems()), resp.GetNextPageToken(), err
}

func (a *app) verifyCommand() *cobra.Command {
	var only string
	c := leaf("verify", "Recompute the books from what was paid and charged; exit 1 on any difference", exactly(), func(c *cobra.Command, _ []string) error {
		if err := a.checkOutput(); err != nil {
			return err
		}
		tenant, err := a.oneTenant()
		if err != nil {
			return err
		}
		services, err := a.asked(only)
		if err != nil {
			return err
		}
		sum := &payoutsv1.VerifyLedgerResponse{Balanced: true}
		for _, s := range services {
			r, err := a.verify(c.Context(), s, tenant)
			if err != nil {
				return err
			}
			sum.Balanced, sum.Postings, sum.Findings = sum.Balanced && r.Balanced, sum.Postings+r.Postings, append(sum.Findings, r.Findings...)
		}
		return a.verified(sum)
	}, "agogo ledger verify --tenant lebenis")
	ofService(c, &only)
	return c
}

// verify has a service recompute its books.
func (a *app) verify(ctx context.Context, service, tenant string) (*payoutsv1.VerifyLedgerResponse, error) {
	if service == "payouts" {
		client, err := a.payouts()
		if err != nil {
			return nil, err
		}
		return client.VerifyLedger(ctx, &payoutsv1.VerifyLedgerRequest{Tenant: tenant})
	}
	client, err := a.recurrences()
	if err != nil {
		return nil, err
	}
	r, err := client.VerifyLedger(ctx, &recurrencesv1.VerifyLedgerRequest{Tenant: tenant})
	if err != nil {
		return nil, err
	}
	same := &payoutsv1.VerifyLedgerResponse{Balanced: r.Balanced, Postings: r.Postings}
	for _, f := range r.Findings {
		same.Findings = append(same.Findings, &payoutsv1.LedgerFinding{Account: f.Account, Expected: f.Expected, Found: f.Found, Explanation: f.Explanation})
	}
	return same, nil
}

func (a *app) verified(r *payoutsv1.VerifyLedgerResponse) (err error) {
	switch {
	case a.output == "json":
		err = a.json(r)
	case r.Balanced:
		fmt.Fprintf(a.Out, "The books balance: %d postings checked.\n", r.Postings)
	default:
		table(a.Out, r.Findings, []column[*payoutsv1.LedgerFinding]{
			col("account", (*payoutsv1.LedgerFinding).GetAccount),
			num("expected", func(f *payoutsv1.LedgerFinding) string { return amount(f.Expected) }),
			num("found", func(f *payoutsv1.LedgerFinding) string { return amount(f.Found) }),
			col("why", (*payoutsv1.LedgerFinding).GetExplanation),
		})
	}
	if err == nil && !r.Balanced {
		return errFailed
	}
	return err
}
