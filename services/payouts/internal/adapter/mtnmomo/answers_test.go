package mtnmomo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

// verdict is what a result says, without its words.
type verdict struct {
	class provider.Class
	scope provider.Scope
	code  string
	stop  bool
}

func of(r provider.Result) verdict { return verdict{r.Class, r.Scope, r.Code, r.Stop} }

// Every answer that a transfer can get, by MTN's documentation and by none.
func TestAnswersToTransfers(t *testing.T) {
	t.Parallel()
	const (
		final = provider.RejectedFinal
		later = provider.RejectedRetryable
		doubt = provider.Ambiguous
	)
	for name, c := range map[string]struct {
		status int
		body   string
		want   verdict
		alarm  bool
	}{
		"accepted":                   {202, "", verdict{provider.Accepted, "", "pending", false}, false},
		"accepted, with blanks":      {202, " \n", verdict{provider.Accepted, "", "pending", false}, false},
		"accepted, with a page":      {202, "<html>", verdict{doubt, provider.ScopeProvider, provider.CodeUnreadable, false}, false},
		"another success":            {200, "", verdict{doubt, provider.ScopeProvider, provider.CodeUnreadable, false}, false},
		"created":                    {201, "{}", verdict{doubt, provider.ScopeProvider, provider.CodeUnreadable, false}, false},
		"bad request":                {400, "", verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, true},
		"bad request, with words":    {400, `{"message":"Request rejected"}`, verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, true},
		"bad request, with a code":   {400, `{"code":"INVALID_CURRENCY"}`, verdict{later, provider.ScopeProvider, "currency_refused", true}, false},
		"token or key refused":       {401, `{"statusCode":401,"message":"Access denied due to invalid subscription key."}`, verdict{later, provider.ScopeProvider, "credentials_refused", true}, false},
		"address refused":            {403, `{"code":"FORBIDDEN_IP"}`, verdict{later, provider.ScopeProvider, "access_forbidden", true}, false},
		"token refused":              {401, `{"message":"Access denied. The token is invalid or has expired."}`, verdict{later, provider.ScopeProvider, "credentials_refused", true}, false},
		"401 without anything":       {401, "", verdict{doubt, provider.ScopeProvider, "credentials_refused", true}, false},
		"a proxy's 401":              {401, "<html>", verdict{doubt, provider.ScopeProvider, "credentials_refused", true}, false},
		"401 without words":          {401, "{}", verdict{doubt, provider.ScopeProvider, "credentials_refused", true}, false},
		"401 around another status":  {401, `{"statusCode":502,"message":"x"}`, verdict{doubt, provider.ScopeProvider, "credentials_refused", true}, false},
		"403 without anything":       {403, "", verdict{doubt, provider.ScopeProvider, "access_forbidden", true}, false},
		"a proxy's 403":              {403, "<html>", verdict{doubt, provider.ScopeProvider, "access_forbidden", true}, false},
		"403 with words":             {403, `{"statusCode":403,"message":"Forbidden"}`, verdict{doubt, provider.ScopeProvider, "access_forbidden", true}, false},
		"403 with another code":      {403, `{"code":"PAYEE_NOT_FOUND"}`, verdict{doubt, provider.ScopeProvider, "access_forbidden", true}, false},
		"no such path":               {404, `{"statusCode":404,"message":"Resource not found"}`, verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, false},
		"not found":                  {404, `{"code":"RESOURCE_NOT_FOUND"}`, verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, false},
		"request timeout":            {408, "", verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"exists, without its code":   {409, "", verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, false},
		"unknown 4xx":                {418, `{"code":"PAYEE_NOT_FOUND"}`, verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, false},
		"too many":                   {429, "", verdict{provider.NotSent, "", provider.CodeRateLimited, false}, false},
		"not allowed":                {500, `{"code":"NOT_ALLOWED"}`, verdict{later, provider.ScopeProvider, "not_allowed", true}, false},
		"target environment":         {500, `{"code":"NOT_ALLOWED_TARGET_ENVIRONMENT"}`, verdict{later, provider.ScopeProvider, "target_environment_refused", true}, false},
		"callback host":              {500, `{"code":"INVALID_CALLBACK_URL_HOST"}`, verdict{later, provider.ScopeProvider, "callback_host_refused", true}, false},
		"currency":                   {500, `{"code":"INVALID_CURRENCY"}`, verdict{later, provider.ScopeProvider, "currency_refused", true}, false},
		"no float":                   {500, `{"code":"NOT_ENOUGH_FUNDS"}`, verdict{later, provider.ScopeFloat, "insufficient_float", false}, false},
		"our limit":                  {500, `{"code":"PAYER_LIMIT_REACHED"}`, verdict{later, provider.ScopeFloat, "payer_limit_reached", false}, false},
		"no such payee":              {500, `{"code":"PAYEE_NOT_FOUND"}`, verdict{final, provider.ScopePayee, "payee_not_found", false}, false},
		"internal":                   {500, `{"code":"INTERNAL_PROCESSING_ERROR"}`, verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"500 with a reason's code":   {500, `{"code":"EXPIRED"}`, verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"500 without anything":       {500, "", verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"500 with a number for code": {500, `{"code":500}`, verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"gateway with a known code":  {502, `{"code":"PAYEE_NOT_FOUND"}`, verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"unavailable":                {503, `{"code":"SERVICE_UNAVAILABLE"}`, verdict{doubt, provider.ScopeProvider, provider.CodeServerError, false}, false},
		"a redirect":                 {302, "", verdict{doubt, provider.ScopePayment, provider.CodeUnrecognised, false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			res := a.Submit(t.Context(), transferOf("ref-1", 24000))
			if of(res) != c.want || (res.Alarm != "") != c.alarm {
				t.Errorf("got %+v, want %+v, alarm %v", res, c.want, c.alarm)
			}
			// The same answer to a repetition never proves that the first call did not pay.
			again := transferOf("ref-1", 24000)
			again.Resend = true
			switch res := a.Submit(t.Context(), again); {
			case res.Class == final || res.Class == later:
				t.Errorf("sent again: got %+v", res)
			case c.want.stop && c.want.class == doubt && (res.Class != doubt || !res.Stop):
				t.Errorf("a doubt, sent again: got %+v", res)
			case c.want.stop && c.want.class != doubt && (res.Class != provider.NotSent || !res.Stop):
				t.Errorf("refused although it may have arrived before: got %+v", res)
			}
		})
	}
}

// Every reason of MTN's catalogue, as an object and as a text.
func TestReasonsOfFailure(t *testing.T) {
	t.Parallel()
	const (
		final = provider.RejectedFinal
		later = provider.RejectedRetryable
	)
	for code, want := range map[string]verdict{
		"":                               {final, provider.ScopePayment, "failed", false},
		"A_NEW_REASON":                   {final, provider.ScopePayment, "failed", false},
		"PAYEE_NOT_FOUND":                {final, provider.ScopePayee, "payee_not_found", false},
		"PAYER_NOT_FOUND":                {later, provider.ScopeProvider, "payer_not_found", true},
		"NOT_ALLOWED":                    {final, provider.ScopePayment, "not_allowed", false},
		"NOT_ALLOWED_TARGET_ENVIRONMENT": {later, provider.ScopeProvider, "target_environment_refused", true},
		"INVALID_CALLBACK_URL_HOST":      {later, provider.ScopeProvider, "callback_host_refused", true},
		"INVALID_CURRENCY":               {later, provider.ScopeProvider, "currency_refused", true},
		"SERVICE_UNAVAILABLE":            {later, provider.ScopePayment, "service_unavailable", false},
		"INTERNAL_PROCESSING_ERROR":      {later, provider.ScopePayment, "internal_processing_error", false},
		"NOT_ENOUGH_FUNDS":               {later, provider.ScopeFloat, "insufficient_float", false},
		"PAYER_LIMIT_REACHED":            {later, provider.ScopeFloat, "payer_limit_reached", false},
		"PAYEE_NOT_ALLOWED_TO_RECEIVE":   {final, provider.ScopePayee, "payee_not_allowed", false},
		"PAYMENT_NOT_APPROVED":           {final, provider.ScopePayment, "not_approved", false},
		"RESOURCE_NOT_FOUND":             {final, provider.ScopePayment, "failed", false},
		"APPROVAL_REJECTED":              {final, provider.ScopePayment, "approval_rejected", false},
		"EXPIRED":                        {later, provider.ScopePayment, "expired", false},
		"TRANSACTION_CANCELED":           {final, provider.ScopePayment, "cancelled", false},
		"RESOURCE_ALREADY_EXIST":         {provider.Ambiguous, provider.ScopePayment, "already_exists", false},
		"COULD_NOT_PERFORM_TRANSACTION":  {later, provider.ScopePayment, "could_not_perform", false},
	} {
		for _, reason := range []string{
			fmt.Sprintf(`,"reason":{"code":%q,"message":"words"}`, code), fmt.Sprintf(`,"reason":%q`, code), fmt.Sprintf(`,"reason":%q`, strings.ToLower(code)),
		} {
			a := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(said("ref-1", "FAILED", reason)) })
			f, err := a.Lookup(t.Context(), transferOf("ref-1", 24000))
			if err != nil || !f.Exists || of(f.Result) != want {
				t.Errorf("%s: got %+v, %v, want %+v", reason, f, err, want)
			}
			if code == "RESOURCE_ALREADY_EXIST" && f.Result.Alarm == "" {
				t.Errorf("%s: nobody is told", reason)
			}
		}
	}
}

// The published payees of MTN's sandbox, through the adapter.
func TestPublishedPayees(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{Processing: -1}})
	for payee, want := range map[string]string{
		"450": "REJECTED_FINAL failed", "451": "REJECTED_FINAL approval_rejected", "452": "REJECTED_RETRYABLE expired",
		"453": "ACCEPTED pending", "454": "ACCEPTED pending", "455": "REJECTED_RETRYABLE insufficient_float",
		"456": "REJECTED_RETRYABLE payer_limit_reached", "457": "REJECTED_FINAL payee_not_found", "458": "REJECTED_FINAL not_allowed",
		"459": "REJECTED_RETRYABLE target_environment_refused", "460": "REJECTED_RETRYABLE callback_host_refused",
		"461": "REJECTED_RETRYABLE currency_refused", "462": "REJECTED_RETRYABLE internal_processing_error",
		"463": "REJECTED_RETRYABLE service_unavailable", "464": "SUCCEEDED",
	} {
		tr := transferOf("ref-"+payee, 24000)
		tr.Destination = "+46733123" + payee
		if res := r.Submit(t.Context(), tr); res.Class != provider.Accepted {
			t.Errorf("%s: %+v", payee, res)
		}
		f, err := r.Lookup(t.Context(), tr)
		if got := strings.TrimSpace(string(f.Result.Class) + " " + f.Result.Code); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", payee, got, err, want)
		}
	}
}

// A lookup that is not answered as documented is never "there is no such transfer".
func TestOnlyThePlatformsWordIsAbsence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		absent bool
	}{
		"not found":                {404, `{"code":"RESOURCE_NOT_FOUND","message":"Requested resource was not found."}`, true},
		"the gateway's 404":        {404, `{"statusCode":404,"message":"Resource not found"}`, false},
		"a proxy's 404":            {404, `<html>`, false},
		"a 404 without anything":   {404, ``, false},
		"the code, another status": {500, `{"code":"RESOURCE_NOT_FOUND"}`, false},
		"the code, and a success":  {200, `{"code":"RESOURCE_NOT_FOUND"}`, false},
		"nothing":                  {200, ``, false},
		"null":                     {200, `null`, false},
		"a list":                   {200, `[]`, false},
		"without a status":         {200, `{"amount":"24000"}`, false},
		"two":                      {200, `{"status":"PENDING"}{"status":"FAILED"}`, false},
		"another transfer":         {200, string(said("ref-2", "SUCCESSFUL", "")), false},
		"refused":                  {401, ``, false},
		"forbidden":                {403, ``, false},
		"gone":                     {410, `{"code":"RESOURCE_NOT_FOUND"}`, false},
		"too many":                 {429, ``, false},
		"unavailable":              {503, `{"code":"SERVICE_UNAVAILABLE"}`, false},
	} {
		a := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		f, err := a.Lookup(t.Context(), transferOf("ref-1", 24000))
		if f.Exists || (err == nil) != c.absent {
			t.Errorf("%s: got %+v, %v", name, f, err)
		}
	}
}
