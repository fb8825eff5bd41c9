package store_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/services/payouts/internal/command"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

func TestACommandIsOfItsRunsTenant(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	run := e.Run(payoutstest.Daily("2025-01-24T23:59:00Z"))
	of := func(m outbox.Message) string {
		return e.Store.TenantOf(e.Ctx(), stream.Message{Data: m.Payload, Origin: stream.Origin{Subject: m.Subject}})
	}
	plan := command.Plan{RunID: run}.Message(e.Ctx(), 0, "")
	if got := of(plan); got != payoutstest.Tenant {
		t.Errorf("a command of %s is of %q", payoutstest.Tenant, got)
	}
	if got := of(command.Dispatch{RunID: uuid.New(), Page: 1}.Message(e.Ctx(), 0, "")); got != "" {
		t.Errorf("a command of no run is of %q", got)
	}
	plan.Payload = []byte("{")
	if got := of(plan); got != "" {
		t.Errorf("what is no command is of %q", got)
	}
}
