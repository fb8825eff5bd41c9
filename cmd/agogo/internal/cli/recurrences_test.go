package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const chargeID = "0e0dd3a4-6d6b-5c2e-8f0a-2b1c9d8e7f60"

func brl(minor int64) *eventsv1.Money { return &eventsv1.Money{Minor: minor, Currency: "BRL"} }

func at(s string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(t)
}

// charging answers as the recurrences service would, and keeps what it was asked.
type charging struct {
	recurrencesv1.UnimplementedRecurrencesServiceServer
	asked proto.Message
	file  []byte
}

func held() *recurrencesv1.Recurrence {
	return &recurrencesv1.Recurrence{
		Id: "rec-028", Tenant: "wallclub", CustomerId: "cus-028", CustomerName: "João Gonçalves", SellerId: "seller-1", Amount: brl(9900),
		Description: "Mensalidade 028", Period: "monthly", AnchorDay: 30, NextCycle: "2025-11-30", NextChargeDate: "2025-12-01", MaxCycles: 12,
		Cycles: 3, State: "hold", Reason: &eventsv1.Reason{Scope: "card", Code: "card_invalid"}, HeldBy: at("2025-10-30T11:00:00Z"),
		UpdatedAt: at("2025-10-30T11:00:02Z"), Version: 2, MissedCycles: []*recurrencesv1.MissedCycle{{Cycle: "2025-08-30"}, {Cycle: "2025-09-30"}},
		Card: &recurrencesv1.Card{Id: "4b1f0a52-5f3c-5d3b-9d7e-0a1b2c3d4e5f", Brand: "elo", State: "invalid", Failures: 1},
	}
}

func declined() *recurrencesv1.Charge {
	return &recurrencesv1.Charge{
		Id: chargeID, Tenant: "wallclub", RecurrenceId: "rec-024", CustomerId: "cus-024", SellerId: "seller-4", CardId: "4b1f0a52-5f3c-5d3b-9d7e-0a1b2c3d4e5f",
		RunId: "5e0dd3a4-6d6b-5c2e-8f0a-2b1c9d8e7f60", Cycle: "2025-10-30", ChargeDate: "2025-10-30", Amount: brl(19900), Gateway: "cielo",
		State: "failed_soft", Reason: &eventsv1.Reason{Scope: "payment", Code: "insufficient_funds", ProviderCode: "51"}, Tries: 2,
		FirstAttemptDate: "2025-10-30", LastAttemptDate: "2025-10-31", RetryOn: "2025-11-03",
		Attempts: []*recurrencesv1.Attempt{
			{Number: 1, State: "failed", Class: "REJECTED_RETRYABLE", Code: "insufficient_funds", ProviderReference: "0e0dd3a46d6b5c2e8f0a2b1c9d8e7f6001"},
			{Number: 2, State: "failed", Class: "REJECTED_RETRYABLE", Code: "insufficient_funds", ProviderReference: "0e0dd3a46d6b5c2e8f0a2b1c9d8e7f6002", Lookups: 1},
		},
	}
}

func (s *charging) ListRecurrences(_ context.Context, r *recurrencesv1.ListRecurrencesRequest) (*recurrencesv1.ListRecurrencesResponse, error) {
	s.asked = r
	if r.GetPageToken() == "" {
		return &recurrencesv1.ListRecurrencesResponse{NextPageToken: "2", Items: []*recurrencesv1.Recurrence{held()}}, nil
	}
	return &recurrencesv1.ListRecurrencesResponse{Items: []*recurrencesv1.Recurrence{
		{
			Id: "rec-101", CustomerId: "cus-1", SellerId: "seller-12", Amount: brl(1234567), Period: "yearly", AnchorDay: 29, AnchorMonth: 2, State: "active",
			NextChargeDate: "2026-03-02", Card: &recurrencesv1.Card{Brand: "mastercard", State: "valid"},
		},
		{Id: "rec-102", CustomerId: "cus-2", SellerId: "seller-3", Amount: brl(90), Period: "weekly", AnchorDay: 7, State: "past_due", NextChargeDate: "2025-11-03"},
		{Id: "rec-103", CustomerId: "cus-3", SellerId: "seller-3", Amount: brl(4990), Period: "days", IntervalDays: 10, State: "completed"},
	}}, nil
}

func (s *charging) GetRecurrence(_ context.Context, r *recurrencesv1.GetRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	s.asked = r
	if r.GetId() != held().GetId() {
		return nil, rpc.NotFound("recurrence", r.GetId())
	}
	return held(), nil
}

func (s *charging) PauseRecurrence(_ context.Context, r *recurrencesv1.PauseRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	s.asked = r
	return nil, rpc.Refused("STATE", "look at it: agogo recurrences get rec-028", "recurrence rec-028 is on hold: only what is active or past due can be paused")
}

func (s *charging) ResumeRecurrence(_ context.Context, r *recurrencesv1.ResumeRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	s.asked = r
	return held(), nil
}

func (s *charging) CancelRecurrence(_ context.Context, r *recurrencesv1.CancelRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	s.asked = r
	return held(), nil
}

func (s *charging) ReactivateRecurrence(_ context.Context, r *recurrencesv1.ReactivateRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	s.asked = r
	return held(), nil
}

func (s *charging) SetCard(_ context.Context, r *recurrencesv1.SetCardRequest) (*recurrencesv1.SetCardResponse, error) {
	s.asked = r
	return &recurrencesv1.SetCardResponse{Recurrence: held(), Charges: []*recurrencesv1.Charge{{Id: chargeID, RecurrenceId: "rec-028", Cycle: "2025-10-30", State: "failed_hard", Waiting: true, Amount: brl(9900)}}}, nil
}

func (s *charging) ListCharges(_ context.Context, r *recurrencesv1.ListChargesRequest) (*recurrencesv1.ListChargesResponse, error) {
	s.asked = r
	return &recurrencesv1.ListChargesResponse{Items: []*recurrencesv1.Charge{
		declined(),
		{Id: chargeID, RecurrenceId: "rec-1", Cycle: "2025-10-30", State: "due", Waiting: true, Amount: brl(4990)},
		{Id: chargeID, RecurrenceId: "rec-2", Cycle: "2025-10-30", State: "failed_hard", Contradicted: true, Amount: brl(100)},
	}}, nil
}

func (s *charging) GetCharge(_ context.Context, r *recurrencesv1.GetChargeRequest) (*recurrencesv1.Charge, error) {
	s.asked = r
	return declined(), nil
}

func (s *charging) ChargeNow(_ context.Context, r *recurrencesv1.ChargeNowRequest) (*recurrencesv1.Charge, error) {
	s.asked = r
	return declined(), nil
}

func (s *charging) CancelCharge(_ context.Context, r *recurrencesv1.CancelChargeRequest) (*recurrencesv1.Charge, error) {
	s.asked = r
	return declined(), nil
}

func (s *charging) ResolveCharge(_ context.Context, r *recurrencesv1.ResolveChargeRequest) (*recurrencesv1.ResolveChargeResponse, error) {
	s.asked = r
	c := declined()
	c.State, c.Proposal = "manual_review", &recurrencesv1.Proposal{Outcome: r.GetOutcome(), ChargeAgain: r.GetChargeAgain(), Evidence: r.GetEvidence(), Actor: "user:ana", ProposedAt: at("2025-10-31T12:00:00Z")}
	return &recurrencesv1.ResolveChargeResponse{Charge: c, Replaces: "user:ben"}, nil
}

func (s *charging) RefreshCharge(_ context.Context, r *recurrencesv1.RefreshChargeRequest) (*recurrencesv1.Charge, error) {
	s.asked = r
	return declined(), nil
}

func (s *charging) SettleDispute(_ context.Context, r *recurrencesv1.SettleDisputeRequest) (*recurrencesv1.Charge, error) {
	s.asked = r
	c := declined()
	c.State, c.RetryOn, c.Reason = "succeeded", "", &eventsv1.Reason{Code: "dispute_lost"}
	c.Refunded, c.Disputed, c.ChargedBack = brl(4990), brl(14910), brl(14910)
	c.Reversals = []*recurrencesv1.Reversal{
		{Id: "r1", Kind: "refund", Amount: brl(4990), State: "booked", CreatedAt: at("2025-11-20T12:00:00Z")},
		{Id: r.GetId(), Kind: "dispute", Amount: brl(14910), State: "lost", CaseNumber: "123456", CreatedAt: at("2025-12-02T12:00:00Z")},
	}
	return c, nil
}

func (s *charging) ListSuspense(_ context.Context, r *recurrencesv1.ListSuspenseRequest) (*recurrencesv1.ListSuspenseResponse, error) {
	s.asked = r
	return &recurrencesv1.ListSuspenseResponse{Items: []*recurrencesv1.Suspended{
		{
			FindingId: "5d1c7a52-6d0e-4d6b-9f0b-3c1f6d1c2a10", Gateway: "cielo", Code: "paid_after_closed", ChargeId: chargeID, FoundAt: at("2025-11-20T12:00:00Z"),
			Amount: brl(-4990), ProposedAccount: "seller_payable:seller-1", ProposedAmount: brl(-4990), ProposedBy: "user:ana", ProposedReason: "the customer keeps it",
			ProposedEvidence: "ticket 4711",
		},
		{FindingId: "7e2d8b63-7e1f-4e7c-8a1c-4d2a7e2d3b21", Gateway: "cielo", Code: "refunded_more_than_charged", ChargeId: chargeID, FoundAt: at("2025-11-19T12:00:00Z"), Amount: brl(1010)},
	}}, nil
}

func (s *charging) ResolveFinding(_ context.Context, r *recurrencesv1.ResolveFindingRequest) (*recurrencesv1.ResolveFindingResponse, error) {
	s.asked = r
	out := &recurrencesv1.ResolveFindingResponse{Applied: r.GetAmountMinor() == 0, Account: r.GetTo(), Amount: brl(-4990), Left: brl(0)}
	if !out.Applied {
		out.Amount, out.Left, out.Replaces = brl(r.GetAmountMinor()), brl(-4990), "user:ana"
	}
	return out, nil
}

func (s *charging) ListHoldDigests(_ context.Context, r *recurrencesv1.ListHoldDigestsRequest) (*recurrencesv1.ListHoldDigestsResponse, error) {
	s.asked = r
	return &recurrencesv1.ListHoldDigestsResponse{Items: []*recurrencesv1.HoldDigest{
		{SellerId: "seller-1", LocalDate: "2025-10-30", RecurrenceIds: []string{"rec-028", "rec-029", "rec-039", "rec-040"}, Total: brl(32870)},
		{SellerId: "seller-20", LocalDate: "2025-10-29", RecurrenceIds: []string{"a", "b", "c", "d", "e", "f", "g"}, Total: brl(100)},
	}}, nil
}

func (s *charging) Report(_ context.Context, r *recurrencesv1.ReportRequest) (*recurrencesv1.ReportResponse, error) {
	s.asked = r
	return &recurrencesv1.ReportResponse{
		Tenant: r.GetTenant(), Mode: "sandbox", LocalDate: "2025-10-30",
		Recurrences: []*recurrencesv1.StateSum{{State: "active", Count: 37, Amount: brl(643570)}, {State: "hold", Count: 2, Amount: brl(17980)}},
		Charges:     []*recurrencesv1.StateSum{{State: "succeeded", Count: 25, Amount: brl(384290)}},
		DueToday:    &recurrencesv1.Sum{Count: 28, Amount: brl(430000)}, Overdue: &recurrencesv1.Sum{Count: 4, Amount: brl(62830)},
		OnHold: &recurrencesv1.Sum{Count: 2, Amount: brl(17980)}, OnHoldBySeller: []*recurrencesv1.SellerSum{{SellerId: "seller-1", Count: 2, Amount: brl(17980)}},
		MissedCycles: 3,
	}, nil
}

func (s *charging) ListGateways(_ context.Context, r *recurrencesv1.ListGatewaysRequest) (*recurrencesv1.ListGatewaysResponse, error) {
	s.asked = r
	return &recurrencesv1.ListGatewaysResponse{Items: []*recurrencesv1.Gateway{
		{Tenant: "wallclub", Name: "cielo", Kind: "cielo", State: "stopped", Reason: &eventsv1.Reason{Scope: "provider", Code: "unauthorized"}, ChangedAt: at("2025-10-30T11:00:02Z")},
	}}, nil
}

func (s *charging) ResumeGateway(_ context.Context, r *recurrencesv1.ResumeGatewayRequest) (*recurrencesv1.Gateway, error) {
	s.asked = r
	return &recurrencesv1.Gateway{Tenant: "wallclub", Name: "cielo", Kind: "cielo", State: "open"}, nil
}

func (s *charging) ImportRecurrences(stream grpc.BidiStreamingServer[importsv1.ImportRequest, importsv1.ImportResponse]) error {
	s.file = nil
	for {
		m, err := stream.Recv()
		if err == io.EOF { //nolint:errorlint // as it comes from gRPC
			break
		}
		if err != nil {
			return err
		}
		if m.GetOptions() != nil {
			s.asked = m
		}
		s.file = append(s.file, m.GetData()...)
	}
	_ = stream.Send(&importsv1.ImportResponse{Message: &importsv1.ImportResponse_Refusal{Refusal: &importsv1.ImportRefusal{Line: 3, Field: "amount", Message: "zero; a recurrence has an amount"}}})
	return stream.Send(&importsv1.ImportResponse{Message: &importsv1.ImportResponse_Summary{Summary: &importsv1.ImportProgress{Rows: 43, Inserted: 40, Unchanged: 2, Refused: 1}}})
}

// clubBooks answers as those of the recurrences service would, and has it keep what it was asked.
type clubBooks struct {
	ledgerv1.UnimplementedLedgerServiceServer
	of *charging
}

func (b clubBooks) ListBalances(_ context.Context, r *ledgerv1.ListBalancesRequest) (*ledgerv1.ListBalancesResponse, error) {
	b.of.asked = r
	return &ledgerv1.ListBalancesResponse{Items: []*ledgerv1.Balance{
		{Account: "gateway_receivable:cielo", Debit: brl(384290), Credit: brl(0), Balance: brl(384290)},
		{Account: "seller_payable:seller-1", Debit: brl(0), Credit: brl(384290), Balance: brl(-384290)},
	}}, nil
}

func (b clubBooks) ListPostings(_ context.Context, r *ledgerv1.ListPostingsRequest) (*ledgerv1.ListPostingsResponse, error) {
	b.of.asked = r
	return &ledgerv1.ListPostingsResponse{Items: []*ledgerv1.Posting{{
		Id: "1", Kind: "charge.succeeded", Debit: "gateway_receivable:cielo", Credit: "seller_payable:seller-1", Amount: brl(4990), Ref: chargeID + "/1",
		OccurredAt: at("2025-10-30T11:00:02Z"),
	}}}, nil
}

func (b clubBooks) VerifyLedger(_ context.Context, r *ledgerv1.VerifyLedgerRequest) (*ledgerv1.VerifyLedgerResponse, error) {
	b.of.asked = r
	return &ledgerv1.VerifyLedgerResponse{Postings: 25, Findings: []*ledgerv1.Finding{
		{Account: "seller_payable:seller-1", Expected: brl(-384290), Found: brl(-384280), Explanation: "expected from: amounts of the seller's charges that succeeded"},
	}}, nil
}

// driverBooks are the books of the payouts service.
type driverBooks struct {
	ledgerv1.UnimplementedLedgerServiceServer
}

func (driverBooks) ListBalances(context.Context, *ledgerv1.ListBalancesRequest) (*ledgerv1.ListBalancesResponse, error) {
	return &ledgerv1.ListBalancesResponse{Items: []*ledgerv1.Balance{{Account: "treasury", Debit: brl(100), Credit: brl(0), Balance: brl(100)}}}, nil
}

func (driverBooks) ListPostings(context.Context, *ledgerv1.ListPostingsRequest) (*ledgerv1.ListPostingsResponse, error) {
	return &ledgerv1.ListPostingsResponse{}, nil
}

func (driverBooks) VerifyLedger(context.Context, *ledgerv1.VerifyLedgerRequest) (*ledgerv1.VerifyLedgerResponse, error) {
	return &ledgerv1.VerifyLedgerResponse{Balanced: true, Postings: 7}, nil
}

// shop is an installation of which the command line sees both.
func shop(t *testing.T) (s *charging, run func(args ...string) (code int, out, said string)) {
	t.Helper()
	s = &charging{}
	serve := func(register func(*grpc.Server)) string {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g := grpc.NewServer()
		register(g)
		go func() { _ = g.Serve(l) }()
		t.Cleanup(g.Stop)
		return l.Addr().String()
	}
	info, err := json.Marshal(dev.Info{Tenants: []string{"lebenis", "wallclub"}, Tokens: map[string]string{"admin": "admin"}, GRPC: map[string]string{
		"recurrences": serve(func(g *grpc.Server) {
			recurrencesv1.RegisterRecurrencesServiceServer(g, s)
			ledgerv1.RegisterLedgerServiceServer(g, clubBooks{of: s})
		}),
		"payouts": serve(func(g *grpc.Server) { ledgerv1.RegisterLedgerServiceServer(g, driverBooks{}) }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dev.json")
	if err := os.WriteFile(path, info, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"AGOGO_CONTEXT": path, "AGOGO_TENANT": "wallclub"}
	return s, func(args ...string) (int, string, string) {
		var out, said bytes.Buffer
		code := Main(t.Context(), IO{Out: &out, Err: &said, In: strings.NewReader("recurrence_id\nrec-1\n"), Getenv: func(name string) string { return env[name] }}, args)
		return code, out.String(), said.String()
	}
}

// TestWhatPeopleSee compares tables and answers with files. Run it with -update after a change, and read the difference.
func TestWhatPeopleSee(t *testing.T) {
	s, run := shop(t)
	for name, tt := range map[string]struct {
		args  string
		code  int
		asked proto.Message
	}{
		"recurrences-list": {"recurrences list --state hold,active --seller seller-1 --due 2025-10-30 --card tok_1 --missed", 0, &recurrencesv1.ListRecurrencesRequest{
			Tenant: "wallclub", States: []string{"hold", "active"}, SellerId: "seller-1", DueBy: "2025-10-30", Card: "tok_1", Missed: true, PageSize: 1000, PageToken: "2",
		}},
		"recurrences-get":     {"recurrences get rec-028", 0, &recurrencesv1.GetRecurrenceRequest{Tenant: "wallclub", Id: "rec-028"}},
		"recurrences-unknown": {"recurrences get rec-999", 3, nil},
		"recurrences-pause":   {"recurrences pause rec-028 --reason asked", 4, &recurrencesv1.PauseRecurrenceRequest{Tenant: "wallclub", Id: "rec-028", Reason: "asked"}},
		"recurrences-resume":  {"recurrences resume rec-028 --reason back", 0, &recurrencesv1.ResumeRecurrenceRequest{Tenant: "wallclub", Id: "rec-028", Reason: "back"}},
		"recurrences-cancel":  {"recurrences cancel rec-028 --reason over", 0, &recurrencesv1.CancelRecurrenceRequest{Tenant: "wallclub", Id: "rec-028", Reason: "over"}},
		"recurrences-reactivate": {"recurrences reactivate rec-028 --reason bank", 0, &recurrencesv1.ReactivateRecurrenceRequest{
			Tenant: "wallclub", Id: "rec-028", Reason: "bank",
		}},
		"recurrences-set-card": {"recurrences set-card rec-028 --card tok_2 --brand visa --reason new", 0, &recurrencesv1.SetCardRequest{
			Tenant: "wallclub", RecurrenceId: "rec-028", Token: "tok_2", Brand: "visa", Reason: "new",
		}},
		"recurrences-report":  {"recurrences report --date 2025-10-30", 0, &recurrencesv1.ReportRequest{Tenant: "wallclub", LocalDate: "2025-10-30"}},
		"recurrences-digests": {"recurrences digests --seller seller-1", 0, &recurrencesv1.ListHoldDigestsRequest{Tenant: "wallclub", SellerId: "seller-1", PageSize: 1000}},
		"recurrences-import": {"recurrences import -", 1, &importsv1.ImportRequest{
			Options: &importsv1.ImportOptions{Tenant: "wallclub", Format: "csv"},
		}},
		"charges-list": {"charges list --state due --recurrence rec-1 --run r --cycle 2025-10-30", 0, &recurrencesv1.ListChargesRequest{
			Tenant: "wallclub", States: []string{"due"}, RecurrenceId: "rec-1", RunId: "r", Cycle: "2025-10-30", PageSize: 1000,
		}},
		"charges-get":    {"charges get " + chargeID, 0, &recurrencesv1.GetChargeRequest{Tenant: "wallclub", Id: chargeID}},
		"charges-charge": {"charges charge " + chargeID + " --reason asked", 0, &recurrencesv1.ChargeNowRequest{Tenant: "wallclub", ChargeId: chargeID, Reason: "asked"}},
		"charges-charge-missed": {"charges charge --recurrence rec-1 --cycle 2025-04-13 --reason asked", 0, &recurrencesv1.ChargeNowRequest{
			Tenant: "wallclub", RecurrenceId: "rec-1", Cycle: "2025-04-13", Reason: "asked",
		}},
		"charges-cancel": {"charges cancel " + chargeID + " --reason goodwill", 0, &recurrencesv1.CancelChargeRequest{Tenant: "wallclub", Id: chargeID, Reason: "goodwill"}},
		"charges-resolve": {"charges resolve " + chargeID + " --outcome not_paid --charge-again --evidence statement", 0, &recurrencesv1.ResolveChargeRequest{
			Tenant: "wallclub", Id: chargeID, Outcome: "not_paid", ChargeAgain: true, Evidence: "statement",
		}},
		"gateways-list":   {"gateways list", 0, &recurrencesv1.ListGatewaysRequest{Tenant: "wallclub"}},
		"gateways-resume": {"gateways resume cielo --reason mended", 0, &recurrencesv1.ResumeGatewayRequest{Tenant: "wallclub", Gateway: "cielo", Reason: "mended"}},
		"ledger-balances": {"ledger balances --prefix s", 0, &ledgerv1.ListBalancesRequest{Tenant: "wallclub", AccountPrefix: "s", PageSize: 1000}},
		"ledger-entries":  {"ledger entries --ref x", 0, &ledgerv1.ListPostingsRequest{Tenant: "wallclub", Ref: "x", PageSize: 1000}},
		"ledger-verify":   {"ledger verify", 1, &ledgerv1.VerifyLedgerRequest{Tenant: "wallclub"}},
		"ledger-payouts":  {"ledger balances --service payouts", 0, nil},

		"recurrences-list-json": {"recurrences list -o json", 0, &recurrencesv1.ListRecurrencesRequest{Tenant: "wallclub", PageSize: 1000, PageToken: "2"}},
		"charges-refresh":       {"charges refresh " + chargeID + " --reason asked", 0, &recurrencesv1.RefreshChargeRequest{Tenant: "wallclub", Id: chargeID, Reason: "asked"}},
		"charges-settle-dispute": {"charges settle-dispute r2 --outcome lost --evidence letter", 0, &recurrencesv1.SettleDisputeRequest{
			Tenant: "wallclub", Id: "r2", Outcome: "lost", Evidence: "letter",
		}},
		"charges-suspense":      {"charges suspense", 0, &recurrencesv1.ListSuspenseRequest{Tenant: "wallclub", PageSize: 1000}},
		"charges-suspense-json": {"charges suspense -o json", 0, nil},
		"charges-settle-suspense": {"charges settle-suspense f1 --to losses --reason because --evidence letter", 0, &recurrencesv1.ResolveFindingRequest{
			Tenant: "wallclub", Id: "f1", To: "losses", Reason: "because", Evidence: "letter",
		}},
		"charges-propose-suspense": {"charges settle-suspense f1 --to gateway_receivable --amount -10.00 --currency BRL --reason because --evidence letter", 0, &recurrencesv1.ResolveFindingRequest{
			Tenant: "wallclub", Id: "f1", To: "gateway_receivable", AmountMinor: -1000, Currency: "BRL", Reason: "because", Evidence: "letter",
		}},
		"help-suspense": {"charges settle-suspense --help", 0, nil},

		"charges-get-json":     {"charges get " + chargeID + " -o json", 0, &recurrencesv1.GetChargeRequest{Tenant: "wallclub", Id: chargeID}},
		"ledger-balances-json": {"ledger balances -o json", 0, nil},
		"ledger-verify-json":   {"ledger verify -o json", 1, nil},
		"set-card-json":        {"recurrences set-card rec-028 --card tok_2 --brand visa --reason new -o json", 0, nil},
		"import-json":          {"recurrences import - -o json", 1, nil},

		"help-import": {"recurrences import --help", 0, nil},
		"help-charge": {"charges charge --help", 0, nil},
		"help":        {"recurrences list --help", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, said := run(strings.Fields(tt.args)...)
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			if tt.asked != nil {
				if diff := cmp.Diff(tt.asked, s.asked, protocmp.Transform()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			}
			golden(t, name, normal(t, tt.args, out)+said)
		})
	}
}

// normal writes JSON in one way: protojson puts blanks where it likes, so that nobody compares its bytes.
func normal(t *testing.T, args, out string) string {
	t.Helper()
	if !strings.Contains(args, "-o json") {
		return out
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(out), "", " "); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, out)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestUsageOfRecurrences: exit 2 and what to do, before anything is asked.
func TestUsageOfRecurrences(t *testing.T) {
	s, run := shop(t)
	for args, says := range map[string]string{
		"recurrences":                                                   "name a command",
		"recurrences get":                                               "wants ID",
		"recurrences pause rec-1":                                       `"reason"`,
		"recurrences list -o xml":                                       "table or json",
		"recurrences pause r --reason x -o xml":                         "table or json",
		"recurrences set-card r --card tok_1 --reason x":                `"brand"`,
		"charges charge --reason x":                                     "wants the ID of a charge, or --recurrence and --cycle",
		"charges charge --recurrence r --reason x":                      "wants the ID of a charge, or --recurrence and --cycle",
		"charges charge a --recurrence r --cycle 2025-10-30 --reason x": "wants the ID of a charge",
		"charges charge a b --reason x":                                 "wants the ID of a charge",
		"charges settle-dispute a --outcome won":                        `"evidence"`,
		"charges refresh a":                                             `"reason"`,
		"charges resolve a --outcome paid":                              `"evidence"`,
		"gateways resume --reason x":                                    "wants GATEWAY",
		"ledger balances --service notifier":                            "payouts or recurrences",
		"recurrences list --tenant nobody":                              "there is no tenant",
	} {
		code, _, said := run(strings.Fields(args)...)
		want := exitUsage
		if strings.Contains(args, "nobody") {
			want = exitNotFound
		}
		if code != want || !strings.Contains(said, says) {
			t.Errorf("%s: exit %d, %s", args, code, said)
		}
	}
	if s.asked != nil {
		t.Errorf("the service was asked: %v", s.asked)
	}
}
