package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// comparing answers as the payouts service would, of days and of what is in suspense.
type comparing struct {
	payoutsv1.UnimplementedPayoutsServiceServer
}

const (
	findingID = "5e0dd3a4-6d6b-5c2e-8f0a-2b1c9d8e7f60"
	lineID    = "7f0dd3a4-6d6b-5c2e-8f0a-2b1c9d8e7f60"
)

func waiting() *payoutsv1.Close {
	return &payoutsv1.Close{
		Id: "k", Tenant: "lebenis", Provider: "wave", LocalDate: "2025-01-24", Revision: 1, State: "open", Tries: 2, Reason: "the statement could not be read",
		ProposedBy: "user:ada", ProposedReason: "ticket 4711: none before Monday",
	}
}

func (comparing) ListCloses(_ context.Context, r *payoutsv1.ListClosesRequest) (*payoutsv1.ListClosesResponse, error) {
	if r.GetLocalDate() == "2025-01-20" {
		return &payoutsv1.ListClosesResponse{}, nil
	}
	compared := &payoutsv1.Close{Id: "j", Tenant: "lebenis", Provider: "wave", LocalDate: "2025-01-23", Revision: 1, State: "completed", Matched: 17, Exceptions: 0}
	return &payoutsv1.ListClosesResponse{Items: []*payoutsv1.Close{waiting(), compared}}, nil
}

func (comparing) CloseWithoutStatement(context.Context, *payoutsv1.CloseWithoutStatementRequest) (*payoutsv1.CloseWithoutStatementResponse, error) {
	return &payoutsv1.CloseWithoutStatementResponse{Close: waiting(), Replaces: "user:ben"}, nil
}

func (comparing) ListSuspense(context.Context, *payoutsv1.ListSuspenseRequest) (*payoutsv1.ListSuspenseResponse, error) {
	sum := &eventsv1.Money{Minor: 707, Currency: "XOF"}
	return &payoutsv1.ListSuspenseResponse{Items: []*payoutsv1.Suspended{{
		Finding: &payoutsv1.Finding{Id: findingID, Provider: "wave", Code: "no_reference", SubjectId: lineID, Reference: "#T_x"}, Amount: sum,
		ProposedAccount: "fees", ProposedAmount: sum, ProposedBy: "user:ada", ProposedReason: "tariff of 2025", ProposedEvidence: "invoice 2025-01",
	}}}, nil
}

func (comparing) ListFindings(context.Context, *payoutsv1.ListFindingsRequest) (*payoutsv1.ListFindingsResponse, error) {
	return &payoutsv1.ListFindingsResponse{Items: []*payoutsv1.Finding{{Id: findingID, Provider: "wave", Code: "no_reference", SubjectId: lineID, Reference: "#T_x"}}}, nil
}

func (comparing) ResolveFinding(context.Context, *payoutsv1.ResolveFindingRequest) (*payoutsv1.ResolveFindingResponse, error) {
	return &payoutsv1.ResolveFindingResponse{Account: "fees", Amount: &eventsv1.Money{Minor: 707, Currency: "XOF"}, Replaces: "user:ben"}, nil
}

func (comparing) ReversePayout(_ context.Context, r *payoutsv1.ReversePayoutRequest) (*payoutsv1.Payout, error) {
	return &payoutsv1.Payout{Id: r.GetId(), State: "succeeded"}, nil
}

func (comparing) ResolvePayout(_ context.Context, r *payoutsv1.ResolvePayoutRequest) (*payoutsv1.ResolvePayoutResponse, error) {
	p := &payoutsv1.Proposal{Outcome: r.GetOutcome(), PayAgain: r.GetPayAgain(), Evidence: r.GetEvidence(), Actor: "user:ada"}
	return &payoutsv1.ResolvePayoutResponse{Payout: &payoutsv1.Payout{Id: r.GetId(), State: "manual_review", Proposal: p}, Replaces: "user:ben"}, nil
}

func (comparing) ReleasePayout(_ context.Context, r *payoutsv1.ReleasePayoutRequest) (*payoutsv1.Payout, error) {
	return &payoutsv1.Payout{Id: r.GetId(), State: "held"}, nil
}

// bureau is an installation of which the command line sees the payouts service.
func bureau(t *testing.T) (run func(args ...string) (code int, out, said string)) {
	t.Helper()
	return bureauAt(t, new(string))
}

// bureauAt tells where its context is, too.
func bureauAt(t *testing.T, path *string) (run func(args ...string) (code int, out, said string)) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	payoutsv1.RegisterPayoutsServiceServer(g, comparing{})
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	info, err := json.Marshal(dev.Info{Tenants: []string{"lebenis"}, Tokens: map[string]string{"admin": "admin"}, GRPC: map[string]string{"payouts": l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	*path = filepath.Join(t.TempDir(), "dev.json")
	if err := os.WriteFile(*path, info, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (int, string, string) {
		var out, said bytes.Buffer
		code := Main(t.Context(), IO{Out: &out, Err: &said, Getenv: func(name string) string { return map[string]string{"AGOGO_CONTEXT": *path}[name] }}, args)
		return code, out.String(), said.String()
	}
}

// TestWhatTheSecondPersonReads: the words to repeat, whose words they replace, and ids that the next command takes.
func TestWhatTheSecondPersonReads(t *testing.T) {
	t.Parallel()
	run := bureau(t)
	for _, c := range []struct {
		args      string
		out, said []string
	}{
		{"recon suspense", []string{"tariff of 2025", "invoice 2025-01", "707 XOF to fees by user:ada"}, nil},
		{"recon closes", []string{"user:ada proposes: ticket 4711: none before Monday"}, nil},
		{"recon list", []string{"FINDING", findingID, "PAYOUT OR LINE", lineID}, nil},
		{"recon resolve " + findingID + " --to fees --reason tariff --evidence invoice", []string{"Proposed: 707 XOF"}, []string{"this replaces what user:ben proposed"}},
		{
			"ledger close --date 2025-01-24 --provider wave --without-statement --reason outage",
			[]string{"user:ada proposes"},
			[]string{"this replaces what user:ben proposed", "Another person now"},
		},
		{
			"payouts resolve " + lineID + " --outcome not_paid --pay-again --evidence statement",
			[]string{"Proposed. Another person", "not_paid, pay again by user:ada"},
			[]string{"this replaces what user:ben proposed"},
		},
		{"payouts reverse " + lineID + " --reason asked", []string{"succeeded"}, []string{"was asked to take it back", "agogo payouts get " + lineID}},
		{
			"payouts release " + lineID + " --reason looked",
			[]string{"held"},
			[]string{"agogo payouts cancel " + lineID + " --reason TEXT --tenant lebenis ends it, agogo payouts release " + lineID + " --reason TEXT --tenant lebenis, given again, lets it go"},
		},
	} {
		code, out, said := run(strings.Fields(c.args)...)
		if code != 0 {
			t.Errorf("%s: exit %d, %s", c.args, code, said)
		}
		for _, want := range c.out {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not print %q:\n%s", c.args, want, out)
			}
		}
		for _, want := range c.said {
			if !strings.Contains(said, want) {
				t.Errorf("%s does not say %q:\n%s", c.args, want, said)
			}
		}
	}
}

// TestAnOpenDayHasNoFigures: 0 exceptions would be said of a day that nobody has compared.
func TestAnOpenDayHasNoFigures(t *testing.T) {
	t.Parallel()
	_, out, _ := bureau(t)("recon", "closes")
	lines := strings.Split(out, "\n")
	if !regexp.MustCompile(`open {5,}the statement could not be read`).MatchString(lines[1]) || !regexp.MustCompile(`completed +17 +0\b`).MatchString(lines[2]) {
		t.Errorf("closes:\n%s", out)
	}
}

// TestWhatIsNotThereSaysWhereToLook: exit 3, and a command that lists what there is.
func TestWhatIsNotThereSaysWhereToLook(t *testing.T) {
	t.Parallel()
	if code, _, said := bureau(t)("recon", "report", "--date", "2025-01-20"); code != exitNotFound || !strings.Contains(said, "agogo recon closes --tenant lebenis") {
		t.Errorf("a day that is not closed: exit %d, %s", code, said)
	}
	kinds := 0
	sources(t, func(text string) {
		for _, m := range regexp.MustCompile(`rpc\.NotFound\("([^"]+)"`).FindAllStringSubmatch(text, -1) {
			kinds++
			if said := explain(status.Convert(rpc.NotFound(m[1], "x"))); !strings.Contains(said, "agogo ") {
				t.Errorf("no %s: %q tells nothing to do", m[1], said)
			}
		}
	})
	if kinds < 20 {
		t.Errorf("only %d refusals were found: they are not read any more", kinds)
	}
}

func sources(t *testing.T, do func(text string)) {
	t.Helper()
	walk(t, "services", ".go", func(path string) {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(path, "_test.go") {
			do(string(body))
		}
	})
}

// TestWhoForgetsAFlagIsToldWhereItStands: once, whoever has noticed it.
func TestWhoForgetsAFlagIsToldWhereItStands(t *testing.T) {
	t.Parallel()
	run := bureau(t)
	for args, want := range map[string]string{
		"recon report": `required flag(s) "date" not set`, "recon report --date": "flag needs an argument", "recon report --revision x": "invalid argument", "recon verify": "requires at least",
	} {
		code, _, said := run(strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(said, want) || strings.Count(said, "--help'") != 1 {
			t.Errorf("%s: exit %d, %s", args, code, said)
		}
	}
}
