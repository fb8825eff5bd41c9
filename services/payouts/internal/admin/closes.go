package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
)

// CloseDay has a day closed, or reconciled again.
func (s *Server) CloseDay(ctx context.Context, r *payoutsv1.CloseDayRequest) (*payoutsv1.CloseDayResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	if _, err := time.Parse(time.DateOnly, r.GetLocalDate()); err != nil {
		return nil, rpc.Invalid("local_date", "%q is no date: write YYYY-MM-DD", r.GetLocalDate())
	}
	if r.GetProvider() != "" && !slices.Contains(s.Closer.Providers(t.ID), r.GetProvider()) {
		return nil, rpc.NotFound("provider", r.GetProvider())
	}
	m := mutation.Mutation{Tenant: t.ID, Action: "CloseDay", Target: r.GetLocalDate(), RequestID: r.GetRequestId(), Detail: closeDetail(r)}
	out := &payoutsv1.CloseDayResponse{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		if err := s.askClose(ctx, tx, t, r); err != nil {
			return nil, refusedClose(err, r.GetLocalDate())
		}
		items, err := closing.OfDay(ctx, tx, t.ID, r.GetProvider(), r.GetLocalDate())
		return &payoutsv1.CloseDayResponse{Items: items}, err
	})
	if err != nil {
		return nil, err
	}
	s.Closer.Wake()
	return out, nil
}

func (s *Server) askClose(ctx context.Context, tx pgx.Tx, t config.Tenant, r *payoutsv1.CloseDayRequest) error {
	if r.GetProvider() == "" {
		return s.Closer.AskAll(ctx, tx, t, r.GetLocalDate(), r.GetAgain())
	}
	return s.Closer.Ask(ctx, tx, t, r.GetProvider(), r.GetLocalDate(), r.GetAgain(), nil)
}

// CloseWithoutStatement proposes that a day is closed that waits for its statement, or agrees with whom has.
func (s *Server) CloseWithoutStatement(ctx context.Context, r *payoutsv1.CloseWithoutStatementRequest) (*payoutsv1.CloseWithoutStatementResponse, error) {
	actor, err := decider(ctx, r.GetTenant(), "closing a day without its statement")
	if err != nil {
		return nil, err
	}
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	if _, err := time.Parse(time.DateOnly, r.GetLocalDate()); err != nil {
		return nil, rpc.Invalid("local_date", "%q is no date: write YYYY-MM-DD", r.GetLocalDate())
	}
	var said closing.Waived
	m := mutation.Mutation{
		Tenant: t.ID, Action: "CloseWithoutStatement", Target: r.GetProvider() + "/" + r.GetLocalDate(), RequestID: r.GetRequestId(), Detail: r.GetReason(),
		Became: func() string {
			return map[bool]string{true: "agreed", false: "proposed"}[said.Agreed] + insteadOf(said.Replaces)
		},
	}
	out := &payoutsv1.CloseWithoutStatementResponse{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (_ proto.Message, err error) {
		if said, err = s.Closer.Waive(ctx, tx, t, r.GetProvider(), r.GetLocalDate(), r.GetReason(), actor.Name); err != nil {
			return nil, refusedClose(err, r.GetLocalDate())
		}
		items, err := closing.OfDay(ctx, tx, t.ID, r.GetProvider(), r.GetLocalDate())
		if err != nil {
			return nil, err
		}
		return &payoutsv1.CloseWithoutStatementResponse{Agreed: said.Agreed, Replaces: said.Replaces, Close: items[len(items)-1]}, nil
	})
	if err != nil {
		return nil, err
	}
	s.Closer.Wake()
	return out, nil
}

func closeDetail(r *payoutsv1.CloseDayRequest) string {
	detail := "all providers"
	if r.GetProvider() != "" {
		detail = r.GetProvider()
	}
	if r.GetAgain() {
		detail += ", again"
	}
	return detail
}

// refusedClose turns errors of asking into answers with a next step.
func refusedClose(err error, date string) error {
	switch {
	case errors.Is(err, closing.ErrNotOver):
		return rpc.Refused("DAY_NOT_OVER", "close it when it is over", "%v", err)
	case errors.Is(err, closing.ErrEarlier):
		return rpc.Refused("BEFORE_FIRST_CLOSE", "what came before is in the opening balance of that day", "%s cannot be closed: %v", date, err)
	case errors.Is(err, closing.ErrUnlikely):
		return rpc.Refused("TOO_MANY_DAYS", "look at the date: every day since the last close is closed with it", "%s cannot be closed: %v", date, err)
	case errors.Is(err, closing.ErrNoClose):
		return rpc.Refused("NOT_ASKED_FOR", "ask for it: agogo ledger close --date "+date, "%s cannot be closed without its statement: %v", date, err)
	case errors.Is(err, closing.ErrClosed):
		return rpc.Refused("DAY_CLOSED", "read its statement again: agogo recon run --date "+date, "%s cannot be closed without its statement: %v", date, err)
	case errors.Is(err, closing.ErrAgreed):
		return rpc.Refused("ALREADY_AGREED", "wait for its report: agogo recon closes", "%v", err)
	case errors.Is(err, closing.ErrNotTried):
		return rpc.Refused("STATEMENT_NOT_TRIED", "wait for the first try: agogo recon closes shows it; earlier days come first", "%s cannot be closed without its statement: %v", date, err)
	case errors.Is(err, closing.ErrJudged):
		return rpc.Refused("BEING_JUDGED", "give the same command again in a moment; agogo recon closes shows what became of it", "%s cannot be closed without its statement: %v", date, err)
	case errors.Is(err, closing.ErrNoStatement):
		return rpc.Refused("NO_STATEMENT", "close it: agogo ledger close --date "+date, "%v", err)
	case errors.Is(err, closing.ErrNoKey):
		return rpc.Refused("NO_REPORT_KEY", "make one with openssl genpkey -algorithm ed25519 and name it as reports.signing_key in the tenants file", "%v", err)
	default:
		return err
	}
}

// ListCloses lists closes, newest day first.
func (s *Server) ListCloses(ctx context.Context, r *payoutsv1.ListClosesRequest) (*payoutsv1.ListClosesResponse, error) {
	if r.GetLocalDate() != "" {
		if _, err := time.Parse(time.DateOnly, r.GetLocalDate()); err != nil {
			return nil, rpc.Invalid("local_date", "%q is no date: write YYYY-MM-DD", r.GetLocalDate())
		}
		items, err := closing.OfDay(ctx, s.Pool, r.GetTenant(), r.GetProvider(), r.GetLocalDate())
		return &payoutsv1.ListClosesResponse{Items: items}, err
	}
	var after closing.Place
	key, err := rpc.ParsePageToken(r.GetPageToken(), 3)
	if err != nil {
		return nil, err
	}
	if key != nil {
		after.Date, after.Provider = key[0], key[1]
		var bad error
		if after.Revision, err = strconv.Atoi(key[2]); err == nil {
			_, bad = time.Parse(time.DateOnly, after.Date)
		}
		if err != nil || bad != nil {
			return nil, rpc.Invalid("page_token", "not one of ours")
		}
	}
	size := rpc.PageSize(r.GetPageSize())
	items, err := closing.List(ctx, s.Pool, r.GetTenant(), r.GetProvider(), after, size+1)
	if err != nil {
		return nil, err
	}
	items, more := rpc.CutPage(items, size)
	resp := &payoutsv1.ListClosesResponse{Items: items}
	if more {
		last := items[len(items)-1]
		resp.NextPageToken = rpc.PageToken(last.LocalDate, last.Provider, strconv.Itoa(int(last.Revision)))
	}
	return resp, nil
}

// reportChunk is how many bytes of a report go in one message.
const reportChunk = 64 << 10

// chunks sends what is written, in messages of one size.
type chunks struct {
	stream grpc.ServerStreamingServer[payoutsv1.ReadReportResponse]
	buffer []byte
}

func (c *chunks) Write(b []byte) (int, error) {
	c.buffer = append(c.buffer, b...)
	for len(c.buffer) >= reportChunk {
		if err := c.send(c.buffer[:reportChunk]); err != nil {
			return 0, err
		}
		c.buffer = append(c.buffer[:0], c.buffer[reportChunk:]...)
	}
	return len(b), nil
}

func (c *chunks) send(b []byte) error {
	return c.stream.Send(&payoutsv1.ReadReportResponse{Data: slices.Clone(b)})
}

// ReadReport streams a report.
func (s *Server) ReadReport(r *payoutsv1.ReadReportRequest, stream grpc.ServerStreamingServer[payoutsv1.ReadReportResponse]) error {
	out := &chunks{stream: stream}
	var form daybook.Form = daybook.NewCSV(out)
	if r.GetFormat() == "json" {
		form = daybook.NewJSON(out)
	}
	err := s.Closer.Report(stream.Context(), r.GetTenant(), r.GetProvider(), r.GetLocalDate(), int(r.GetRevision()), form)
	switch {
	case errors.Is(err, closing.ErrNoReport):
		return rpc.NotFound("report", r.GetProvider()+" "+r.GetLocalDate())
	case err != nil:
		return err
	}
	return out.send(out.buffer)
}

// GetReportKey tells the public key.
func (s *Server) GetReportKey(_ context.Context, _ *payoutsv1.GetReportKeyRequest) (*payoutsv1.GetReportKeyResponse, error) {
	if s.Closer.Key == nil {
		return nil, refusedClose(closing.ErrNoKey, "")
	}
	public := s.Closer.Key.Public()
	text, err := daybook.EncodePublic(public)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return &payoutsv1.GetReportKeyResponse{KeyId: daybook.KeyID(public), PublicKey: string(text)}, nil
}
