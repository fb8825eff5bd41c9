// Package admin serves agogo.payouts.v1: reads by keyset pages, imports as streams, and changes that are idempotent by
// request id, made by an authenticated actor and recorded in the audit trail in their own transaction.
package admin

import (
	"github.com/agogopay/agogo/internal/auth"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// Policy is what role each method needs. A method that is not here is denied.
func Policy() auth.Policy {
	return auth.Policy{
		payoutsv1.PayoutsService_ImportPayments_FullMethodName:        auth.Operator,
		payoutsv1.PayoutsService_ImportPayees_FullMethodName:          auth.Operator,
		payoutsv1.PayoutsService_ListPayments_FullMethodName:          auth.Viewer,
		payoutsv1.PayoutsService_ListPayees_FullMethodName:            auth.Viewer,
		payoutsv1.PayoutsService_PausePayee_FullMethodName:            auth.Operator,
		payoutsv1.PayoutsService_ConfirmPayee_FullMethodName:          auth.Viewer, // operators and approvers: decided by the handler
		payoutsv1.PayoutsService_ResumePayee_FullMethodName:           auth.Operator,
		payoutsv1.PayoutsService_PreviewRun_FullMethodName:            auth.Viewer,
		payoutsv1.PayoutsService_ListRuns_FullMethodName:              auth.Viewer,
		payoutsv1.PayoutsService_GetRun_FullMethodName:                auth.Viewer,
		payoutsv1.PayoutsService_WatchRun_FullMethodName:              auth.Viewer,
		payoutsv1.PayoutsService_RetryRun_FullMethodName:              auth.Operator,
		payoutsv1.PayoutsService_CancelRun_FullMethodName:             auth.Operator,
		payoutsv1.PayoutsService_ListBatches_FullMethodName:           auth.Viewer,
		payoutsv1.PayoutsService_GetBatch_FullMethodName:              auth.Viewer,
		payoutsv1.PayoutsService_PauseBatch_FullMethodName:            auth.Operator,
		payoutsv1.PayoutsService_RetryFailed_FullMethodName:           auth.Operator,
		payoutsv1.PayoutsService_ReleaseRefused_FullMethodName:        auth.Operator,
		payoutsv1.PayoutsService_ResumeBatch_FullMethodName:           auth.Operator,
		payoutsv1.PayoutsService_ListPayouts_FullMethodName:           auth.Viewer,
		payoutsv1.PayoutsService_GetPayout_FullMethodName:             auth.Viewer,
		payoutsv1.PayoutsService_ResolvePayout_FullMethodName:         auth.Viewer, // operators and approvers: decided by the handler
		payoutsv1.PayoutsService_RetryPayout_FullMethodName:           auth.Operator,
		payoutsv1.PayoutsService_HoldPayout_FullMethodName:            auth.Operator,
		payoutsv1.PayoutsService_ReleasePayout_FullMethodName:         auth.Operator,
		payoutsv1.PayoutsService_ReversePayout_FullMethodName:         auth.Operator,
		payoutsv1.PayoutsService_CancelPayout_FullMethodName:          auth.Operator,
		payoutsv1.PayoutsService_ApprovePayout_FullMethodName:         auth.Approver,
		payoutsv1.PayoutsService_RejectPayout_FullMethodName:          auth.Approver,
		payoutsv1.PayoutsService_ApproveBatch_FullMethodName:          auth.Approver,
		payoutsv1.PayoutsService_RejectBatch_FullMethodName:           auth.Approver,
		payoutsv1.PayoutsService_StopOutflow_FullMethodName:           auth.Operator,
		payoutsv1.PayoutsService_StartOutflow_FullMethodName:          auth.Operator,
		payoutsv1.PayoutsService_ListTenants_FullMethodName:           auth.Viewer,
		payoutsv1.PayoutsService_StartBreak_FullMethodName:            auth.Operator,
		payoutsv1.PayoutsService_EndBreak_FullMethodName:              auth.Operator,
		payoutsv1.PayoutsService_GetBreak_FullMethodName:              auth.Viewer,
		payoutsv1.PayoutsService_ListProviders_FullMethodName:         auth.Viewer,
		payoutsv1.PayoutsService_ResumeProvider_FullMethodName:        auth.Operator,
		payoutsv1.PayoutsService_ListFloats_FullMethodName:            auth.Viewer,
		payoutsv1.PayoutsService_TopUpFloat_FullMethodName:            auth.Operator,
		payoutsv1.PayoutsService_CloseDay_FullMethodName:              auth.Operator,
		payoutsv1.PayoutsService_CloseWithoutStatement_FullMethodName: auth.Viewer, // operators and approvers: decided by the handler
		payoutsv1.PayoutsService_ListCloses_FullMethodName:            auth.Viewer,
		payoutsv1.PayoutsService_ReadReport_FullMethodName:            auth.Viewer,
		payoutsv1.PayoutsService_ListFindings_FullMethodName:          auth.Viewer,
		payoutsv1.PayoutsService_ListSuspense_FullMethodName:          auth.Viewer,
		payoutsv1.PayoutsService_ResolveFinding_FullMethodName:        auth.Viewer, // operators and approvers: decided by the handler
		payoutsv1.PayoutsService_GetReportKey_FullMethodName:          auth.Viewer,
		payoutsv1.PayoutsService_ReadPayeeStatement_FullMethodName:    auth.Viewer,
	}
}
