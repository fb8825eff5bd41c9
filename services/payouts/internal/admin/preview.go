package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/cron"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// jobDaily is the job that plans payouts; a payout's id names it.
const jobDaily = "payouts/daily"

// PreviewRun shows what a run would plan.
func (s *Server) PreviewRun(r *payoutsv1.PreviewRunRequest, stream grpc.ServerStreamingServer[payoutsv1.PreviewRunResponse]) error {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return err
	}
	at, err := s.nominal(t, r)
	if err != nil {
		return err
	}
	tick := fmt.Sprintf("%s/%s/preview!%s", t.ID, store.Service, uuid.NewString()) // of no tick: it meets no run's key
	draft := run.Run{
		Service: store.Service, ID: run.ID(tick), TickID: tick, Tenant: t.ID, Schedule: "preview", Job: jobDaily, NominalTime: at,
		LocalDate: at.In(t.Location).Format(time.DateOnly), WindowStart: at, WindowEnd: at, Timezone: t.Timezone, Trigger: "preview",
	}
	sum := &payoutsv1.PreviewSummary{
		NominalTime: timestamppb.New(at), LocalDate: draft.LocalDate, Counts: map[string]int64{}, Totals: map[string]*eventsv1.Money{},
	}
	needs := map[string]*payoutsv1.FloatNeed{}
	whole, err := s.Planner.Preview(stream.Context(), s.Pool, draft, func(page []payout.Payout) error {
		resp := &payoutsv1.PreviewRunResponse{Items: make([]*payoutsv1.PreviewedPayout, len(page))}
		for i, p := range page {
			resp.Items[i] = previewed(p)
			addUp(sum, needs, p)
		}
		return stream.Send(resp)
	})
	if err != nil {
		return err
	}
	sum.ApprovalsNeeded = int32(whole.Approvals)
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		sum.Floats = append(sum.Floats, needs[name])
	}
	return stream.Send(&payoutsv1.PreviewRunResponse{Summary: sum})
}

// nominal is the nominal time of the run that is previewed.
func (s *Server) nominal(t config.Tenant, r *payoutsv1.PreviewRunRequest) (time.Time, error) {
	now := s.Clock.Now()
	if r.GetSchedule() == "" {
		if r.GetNominalTime() == nil {
			return now, nil
		}
		return r.GetNominalTime().AsTime(), nil
	}
	name := r.GetSchedule()[strings.LastIndex(r.GetSchedule(), "/")+1:]
	i := slices.IndexFunc(t.Schedules, func(sc config.Schedule) bool { return sc.Name == name && sc.Job == jobDaily })
	if i < 0 {
		return time.Time{}, rpc.Invalid("schedule", "the tenants file has no schedule %q of the job %s", name, jobDaily)
	}
	if r.GetNominalTime() != nil {
		return r.GetNominalTime().AsTime(), nil
	}
	e, err := cron.Parse(t.Schedules[i].Cron)
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule %s: %w", name, err)
	}
	return e.Next(now, t.Location), nil
}

func previewed(p payout.Payout) *payoutsv1.PreviewedPayout {
	return &payoutsv1.PreviewedPayout{
		Id: p.ID.String(), PayeeId: p.PayeeID, Seq: int32(p.Seq), State: string(p.State), Reason: store.ReasonProto(p.Reason),
		Gross: store.MoneyProto(p.Gross), Commission: store.MoneyProto(p.Commission), Net: store.MoneyProto(p.Net),
		ItemCount: int32(p.ItemCount), Provider: p.Provider,
	}
}

// addUp counts a payout into the summary and into what its provider's float needs.
func addUp(sum *payoutsv1.PreviewSummary, needs map[string]*payoutsv1.FloatNeed, p payout.Payout) {
	currency := string(p.Net.Currency)
	state := string(p.State)
	sum.Counts[state]++
	if sum.Totals[state] == nil {
		sum.Totals[state] = amount(0, currency)
	}
	sum.Totals[state].Minor += p.Net.Minor
	if p.State == payout.Skipped {
		return
	}
	need := needs[p.Provider]
	if need == nil {
		need = &payoutsv1.FloatNeed{Provider: p.Provider, Now: amount(0, currency), Later: amount(0, currency)}
		needs[p.Provider] = need
	}
	need.Payouts++
	if p.State == payout.Approved {
		need.Now.Minor += p.Net.Minor
	} else {
		need.Later.Minor += p.Net.Minor
	}
}
