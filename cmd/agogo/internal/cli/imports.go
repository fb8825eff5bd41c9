package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/feed"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
)

func (a *app) importCommand(what, header, example string, open func() (feed.Open, error)) *cobra.Command {
	var format string
	c := leaf("import FILE", "Import "+what+" from CSV or JSON lines; '-' is standard input", exactly("FILE"), func(c *cobra.Command, args []string) error {
		return a.importFile(c.Context(), args[0], format, open)
	}, example, "zcat more.jsonl.gz | agogo "+what+" import - --format jsonl")
	c.Long = "Import " + what + ", streamed, idempotent by id: importing twice changes nothing.\nA bad row is reported with its line and not stored; the others are. Exit 1 if any row was refused.\n\nColumns: " + header
	c.Flags().StringVar(&format, "format", "", "csv or jsonl (default: by the file's name, else csv)")
	return c
}

func (a *app) importFile(ctx context.Context, path, format string, open func() (feed.Open, error)) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	tenant, err := a.oneTenant()
	if err != nil {
		return err
	}
	r := a.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	into, err := open()
	if err != nil {
		return err
	}
	heard, clear := feed.Heard{}, ""
	if terminal(a.Err) {
		clear = "\r\x1b[K" // progress is drawn on one line, which a refusal and the end take away
		heard.Progressed = func(t feed.Tally) { fmt.Fprint(a.Err, clear, t) }
	}
	heard.Refused = func(line string) { fmt.Fprintln(a.Err, clear+line) }
	sum, err := feed.File(ctx, into, tenant, formatOf(path, format), r, heard)
	fmt.Fprint(a.Err, clear)
	if err != nil {
		return err
	}
	return a.importSummary(sum)
}

func (a *app) importSummary(sum feed.Tally) error {
	if a.output == "json" {
		fmt.Fprintf(a.Out, `{"rows":"%d","inserted":"%d","updated":"%d","unchanged":"%d","refused":"%d"}`+"\n", sum.Rows, sum.Inserted, sum.Updated, sum.Unchanged, sum.Refused)
	} else {
		fmt.Fprintln(a.Out, sum)
	}
	if sum.Refused > 0 {
		return errFailed
	}
	return nil
}

func formatOf(path, format string) string {
	if format != "" {
		return format
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson", ".json":
		return "jsonl"
	}
	return "csv"
}

func (a *app) paymentsCommand() *cobra.Command {
	return noun("payments", "What payees earned", a.paymentsListCommand(),
		a.importCommand("payments", "payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at[,paid_reference]",
			"agogo payments import examples/lebenis/payments-2025-01-24.csv", func() (feed.Open, error) {
				client, err := a.payouts()
				if err != nil {
					return nil, err
				}
				return client.ImportPayments, nil
			}))
}

func (a *app) payeesCommand() *cobra.Command {
	return noun("payees", "Whom payouts go to", a.payeesListCommand(), a.payeePauseCommand(), a.payeeResumeCommand(), a.payeeConfirmCommand(), a.payeeStatementCommand(),
		a.importCommand("payees", "payee_id,name,phone,provider,locale", "agogo payees import payees.csv", func() (feed.Open, error) {
			client, err := a.payouts()
			if err != nil {
				return nil, err
			}
			return client.ImportPayees, nil
		}))
}

func (a *app) devicesCommand() *cobra.Command {
	list := leaf("list", "List push tokens' registrations (never the tokens)", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.notifier)
		if err != nil {
			return err
		}
		return all(a, func(token string) ([]*notifierv1.Device, string, error) {
			r, err := client.ListDevices(c.Context(), &notifierv1.ListDevicesRequest{Tenant: tenant, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		},
			col("id", (*notifierv1.Device).GetId),
			col("user", (*notifierv1.Device).GetUserId),
			col("platform", (*notifierv1.Device).GetPlatform),
			col("locale", (*notifierv1.Device).GetLocale),
			col("state", (*notifierv1.Device).GetState),
			col("reason", (*notifierv1.Device).GetRemovedReason))
	}, "agogo devices list")
	return noun("devices", "Where pushes go", list,
		a.importCommand("devices", "user_id,token,platform,locale", "agogo devices import examples/lebenis/devices.csv", func() (feed.Open, error) {
			client, err := a.notifier()
			if err != nil {
				return nil, err
			}
			return client.ImportDevices, nil
		}))
}

func (a *app) notificationsCommand() *cobra.Command {
	var recipient, subject string
	list := leaf("list", "List notifications, newest first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.notifier)
		if err != nil {
			return err
		}
		return all(a, func(token string) ([]*notifierv1.Notification, string, error) {
			r, err := client.ListNotifications(c.Context(), &notifierv1.ListNotificationsRequest{Tenant: tenant, RecipientId: recipient, SubjectId: subject, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		},
			col("created (utc)", func(n *notifierv1.Notification) string { return when(n.CreatedAt) }),
			col("recipient", (*notifierv1.Notification).GetRecipientId),
			col("kind", (*notifierv1.Notification).GetKind),
			col("state", (*notifierv1.Notification).GetState),
			col("text", (*notifierv1.Notification).GetBody),
			col("reason", (*notifierv1.Notification).GetReason))
	}, "agogo notifications list --recipient drv-01")
	list.Flags().StringVar(&recipient, "recipient", "", "to this payee, customer, seller or operator")
	list.Flags().StringVar(&subject, "subject", "", "about this payout or charge")
	return noun("notifications", "What was told to whom", list)
}
