package admin

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
)

// statementPage is how many movements one message has.
const statementPage = 500

// movementNames are what movements of a payee's account are called outside. One that is not here keeps the books' own name.
var movementNames = map[string]string{
	"payment.completed": "payment", "payment.paid_elsewhere": "paid_elsewhere", "payment.refunded": "refund",
	"attempt.submitted": "payout", "attempt.undone": "payout_undone", "attempt.returned": "payout_returned", suspense.KindResolved: "settled",
}

// ReadPayeeStatement streams the movements of a payee's account as the books have them, in one snapshot of them.
func (s *Server) ReadPayeeStatement(r *payoutsv1.ReadPayeeStatementRequest, stream grpc.ServerStreamingServer[payoutsv1.ReadPayeeStatementResponse]) error {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return err
	}
	from, to, err := s.span(t, r)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	_, err = s.queries().FindPayee(ctx, db.FindPayeeParams{Tenant: t.ID, PayeeID: r.GetPayeeId()})
	if errors.Is(err, pgx.ErrNoRows) {
		return rpc.NotFound("payee", r.GetPayeeId())
	}
	if err != nil {
		return fmt.Errorf("find payee: %w", err)
	}
	st := &statement{
		send: stream.Send, currency: string(t.Currency),
		of: db.PayeeMovementsParams{
			Tenant: t.ID, Account: ledger.Payable(r.GetPayeeId()), Since: from, Until: to, Currency: string(t.Currency), PageLimit: statementPage,
		},
	}
	return pg.Snapshot(ctx, s.Pool, func(tx pgx.Tx) error { return st.write(stream, db.New(tx)) })
}

// span is what a statement covers: local days, or everything so far.
func (s *Server) span(t config.Tenant, r *payoutsv1.ReadPayeeStatementRequest) (from, to time.Time, err error) {
	to = s.Clock.Now()
	if r.GetFromDate() != "" {
		if from, err = time.ParseInLocation(time.DateOnly, r.GetFromDate(), t.Location); err != nil {
			return from, to, rpc.Invalid("from_date", "%q is no date: write YYYY-MM-DD", r.GetFromDate())
		}
	}
	if r.GetToDate() != "" {
		day, err := time.ParseInLocation(time.DateOnly, r.GetToDate(), t.Location)
		if err != nil {
			return from, to, rpc.Invalid("to_date", "%q is no date: write YYYY-MM-DD", r.GetToDate())
		}
		to = day.AddDate(0, 0, 1)
	}
	if to.Before(from) {
		return from, to, rpc.Invalid("to_date", "lies before from_date")
	}
	return from, to, nil
}

// statement is one while it is written.
type statement struct {
	of       db.PayeeMovementsParams
	currency string
	balance  int64
	send     func(*payoutsv1.ReadPayeeStatementResponse) error
}

func (st *statement) write(stream grpc.ServerStreamingServer[payoutsv1.ReadPayeeStatementResponse], q *db.Queries) error {
	ctx, of := stream.Context(), st.of
	owed, err := q.OwedBefore(ctx, db.OwedBeforeParams{Tenant: of.Tenant, Account: of.Account, Before: of.Since, Currency: of.Currency})
	if err != nil {
		return fmt.Errorf("what was owed before: %w", err)
	}
	st.balance = owed
	if err := st.send(&payoutsv1.ReadPayeeStatementResponse{Opening: amount(owed, st.currency)}); err != nil {
		return err
	}
	for {
		rows, err := q.PayeeMovements(ctx, of)
		if err != nil {
			return fmt.Errorf("movements of a payee: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		of.AfterID = rows[len(rows)-1].PostingID
		if err := st.send(&payoutsv1.ReadPayeeStatementResponse{Lines: st.lines(rows)}); err != nil {
			return err
		}
	}
	return st.close(stream, q)
}

// close proves the lines against the account before it says what they come to.
func (st *statement) close(stream grpc.ServerStreamingServer[payoutsv1.ReadPayeeStatementResponse], q *db.Queries) error {
	of := st.of
	owed, err := q.OwedBefore(stream.Context(), db.OwedBeforeParams{Tenant: of.Tenant, Account: of.Account, Before: of.Until, Currency: of.Currency})
	if err != nil {
		return fmt.Errorf("what is owed after: %w", err)
	}
	if owed != st.balance {
		return fmt.Errorf("the movements of %s lead to %d, the account says %d: this is a defect of Agogo", of.Account, st.balance, owed)
	}
	return st.send(&payoutsv1.ReadPayeeStatementResponse{Closing: amount(owed, st.currency)})
}

func (st *statement) lines(rows []db.PayeeMovementsRow) []*payoutsv1.StatementLine {
	lines := make([]*payoutsv1.StatementLine, len(rows))
	for i, r := range rows {
		st.balance += r.Moved
		l := &payoutsv1.StatementLine{
			At: timestamppb.New(r.OccurredAt), Kind: r.Kind, Amount: amount(r.Moved, st.currency), State: r.State, Reference: r.Reference,
			Balance: amount(st.balance, st.currency),
		}
		l.Id, _, _ = strings.Cut(r.Ref, "/")
		if name, ok := movementNames[r.Kind]; ok {
			l.Kind = name
		}
		if strings.HasPrefix(r.Kind, "payment.") {
			sign := int64(1)
			if r.Moved < 0 {
				sign = -1
			}
			l.Id, l.Gross, l.Commission = r.Ref, amount(sign*r.Gross, st.currency), amount(sign*r.Commission, st.currency)
			l.Reference = r.PaidReference
		}
		lines[i] = l
	}
	return lines
}
