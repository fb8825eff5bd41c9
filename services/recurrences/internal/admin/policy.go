// Package admin serves agogo.recurrences.v1: reads by keyset pages, imports as streams, and changes that are idempotent by
// request id, made by an authenticated actor and recorded in the audit trail in their own transaction. No request gets in
// that holds something like a card number.
package admin

import (
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pan"
	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// Policy is what role each method needs. A method that is not here is denied.
func Policy() auth.Policy {
	return auth.Policy{
		recurrencesv1.RecurrencesService_ImportRecurrences_FullMethodName:    auth.Operator,
		recurrencesv1.RecurrencesService_ListRecurrences_FullMethodName:      auth.Viewer,
		recurrencesv1.RecurrencesService_GetRecurrence_FullMethodName:        auth.Viewer,
		recurrencesv1.RecurrencesService_PauseRecurrence_FullMethodName:      auth.Operator,
		recurrencesv1.RecurrencesService_ResumeRecurrence_FullMethodName:     auth.Operator,
		recurrencesv1.RecurrencesService_CancelRecurrence_FullMethodName:     auth.Operator,
		recurrencesv1.RecurrencesService_ReactivateRecurrence_FullMethodName: auth.Operator,
		recurrencesv1.RecurrencesService_SetCard_FullMethodName:              auth.Operator,
		recurrencesv1.RecurrencesService_ListCharges_FullMethodName:          auth.Viewer,
		recurrencesv1.RecurrencesService_GetCharge_FullMethodName:            auth.Viewer,
		recurrencesv1.RecurrencesService_ChargeNow_FullMethodName:            auth.Operator,
		recurrencesv1.RecurrencesService_CancelCharge_FullMethodName:         auth.Operator,
		recurrencesv1.RecurrencesService_ResolveCharge_FullMethodName:        auth.Viewer, // operators and approvers: decided by the handler
		recurrencesv1.RecurrencesService_RefreshCharge_FullMethodName:        auth.Operator,
		recurrencesv1.RecurrencesService_SettleDispute_FullMethodName:        auth.Approver,
		recurrencesv1.RecurrencesService_ListSuspense_FullMethodName:         auth.Viewer,
		recurrencesv1.RecurrencesService_ResolveFinding_FullMethodName:       auth.Viewer, // operators and approvers: decided by the handler
		recurrencesv1.RecurrencesService_ListRuns_FullMethodName:             auth.Viewer,
		recurrencesv1.RecurrencesService_GetRun_FullMethodName:               auth.Viewer,
		recurrencesv1.RecurrencesService_ListHoldDigests_FullMethodName:      auth.Viewer,
		recurrencesv1.RecurrencesService_Report_FullMethodName:               auth.Viewer,
		recurrencesv1.RecurrencesService_ListGateways_FullMethodName:         auth.Viewer,
		recurrencesv1.RecurrencesService_ResumeGateway_FullMethodName:        auth.Operator,
	}
}

// Screen refuses a request with something like a card number in any of its fields. It names the field and not the value.
func Screen(m proto.Message) error {
	if field := pan.Field(m); field != "" {
		return rpc.Invalid(field, "%s", pan.Advice)
	}
	return nil
}
