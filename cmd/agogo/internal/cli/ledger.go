package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
)

// ledgers are the services that keep books, each its own.
var ledgers = []string{"payouts", "recurrences"}

// ledgerCommand asks every service that keeps books, since a tenant may pay out, charge, or both.
func (a *app) ledgerCommand() *cobra.Command {
	return noun("ledger", "The books: double entry, append-only", a.balancesCommand(), a.entriesCommand(), a.verifyCommand(), a.closeDayCommand())
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

// ledger is a client of a service's books.
func (a *app) ledger(service string) (ledgerv1.LedgerServiceClient, error) {
	c, err := a.conn(service)
	if err != nil {
		return nil, err
	}
	return ledgerv1.NewLedgerServiceClient(c), nil
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
func books[T proto.Message](a *app, only string, columns []column[T], page func(client ledgerv1.LedgerServiceClient, tenant, token string) ([]T, string, error)) error {
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
		client, err := a.ledger(s)
		if err != nil {
			return err
		}
		for token, first := "", true; first || token != ""; first = false {
			items, next, err := page(client, tenant, token)
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

var balanceColumns = []column[*ledgerv1.Balance]{
	col("account", (*ledgerv1.Balance).GetAccount),
	num("debit", func(b *ledgerv1.Balance) string { return amount(b.Debit) }),
	num("credit", func(b *ledgerv1.Balance) string { return amount(b.Credit) }),
	num("balance", func(b *ledgerv1.Balance) string { return amount(b.Balance) }),
}

func (a *app) balancesCommand() *cobra.Command {
	var prefix, service string
	c := leaf("balances", "Balance of every account (debit minus credit)", exactly(), func(c *cobra.Command, _ []string) error {
		return books(a, service, balanceColumns, func(client ledgerv1.LedgerServiceClient, tenant, token string) ([]*ledgerv1.Balance, string, error) {
			r, err := client.ListBalances(c.Context(), &ledgerv1.ListBalancesRequest{Tenant: tenant, AccountPrefix: prefix, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		})
	}, "agogo ledger balances --tenant lebenis", "agogo ledger balances --tenant wallclub --prefix seller_payable:")
	c.Flags().StringVar(&prefix, "prefix", "", "only accounts that begin so")
	ofService(c, &service)
	return c
}

func ofService(c *cobra.Command, service *string) {
	c.Flags().StringVar(service, "service", "", "only the books of this one: "+strings.Join(ledgers, " or "))
}

var postingColumns = []column[*ledgerv1.Posting]{
	col("occurred (utc)", func(p *ledgerv1.Posting) string { return when(p.OccurredAt) }),
	col("kind", (*ledgerv1.Posting).GetKind),
	col("debit", (*ledgerv1.Posting).GetDebit),
	col("credit", (*ledgerv1.Posting).GetCredit),
	num("amount", func(p *ledgerv1.Posting) string { return amount(p.Amount) }),
	col("ref", (*ledgerv1.Posting).GetRef),
}

func (a *app) entriesCommand() *cobra.Command {
	var account, ref, service string
	c := leaf("entries", "List postings, oldest first", exactly(), func(c *cobra.Command, _ []string) error {
		return books(a, service, postingColumns, func(client ledgerv1.LedgerServiceClient, tenant, token string) ([]*ledgerv1.Posting, string, error) {
			r, err := client.ListPostings(c.Context(), &ledgerv1.ListPostingsRequest{Tenant: tenant, Account: account, Ref: ref, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		})
	}, "agogo ledger entries --account payable:drv-01", "agogo ledger entries --ref 0b1c…/1 --service recurrences")
	c.Flags().StringVar(&account, "account", "", "only of this account")
	c.Flags().StringVar(&ref, "ref", "", "only about this payment or payout, or this attempt of a charge")
	ofService(c, &service)
	return c
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
		sum := &ledgerv1.VerifyLedgerResponse{Balanced: true}
		for _, s := range services {
			client, err := a.ledger(s)
			if err != nil {
				return err
			}
			r, err := client.VerifyLedger(c.Context(), &ledgerv1.VerifyLedgerRequest{Tenant: tenant})
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

func (a *app) verified(r *ledgerv1.VerifyLedgerResponse) (err error) {
	switch {
	case a.output == "json":
		err = a.json(r)
	case r.Balanced:
		fmt.Fprintf(a.Out, "The books balance: %d postings checked.\n", r.Postings)
	default:
		table(a.Out, r.Findings, []column[*ledgerv1.Finding]{
			col("account", (*ledgerv1.Finding).GetAccount),
			num("expected", func(f *ledgerv1.Finding) string { return amount(f.Expected) }),
			num("found", func(f *ledgerv1.Finding) string { return amount(f.Found) }),
			col("why", (*ledgerv1.Finding).GetExplanation),
		})
	}
	if err == nil && !r.Balanced {
		return errFailed
	}
	return err
}
