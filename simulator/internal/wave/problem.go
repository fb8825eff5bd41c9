package wave

import (
	"encoding/json"
	"net/http"

	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Codes that are answered in several places.
const (
	notFound   = "not-found"
	tooMany    = "too-many-requests"
	validation = "request-validation-error"
	noFunds    = "insufficient-funds"
)

// statuses are the documented error codes and the HTTP status that each comes with. Those of the request errors, of the
// recipient's and of the reversal are inferred.
var statuses = map[string]int{
	"country-mismatch": 400, "currency-mismatch": 400, "aggregated-merchant-required": 400,
	"request-not-json": 400, "request-parsing-error": 400, validation: 400,
	"missing-auth-header": 401, "invalid-auth": 401, "api-key-not-provided": 401, "no-matching-api-key": 401, "api-key-revoked": 401,
	"invalid-wallet": 403, "disabled-wallet": 403, notFound: 404, "idempotency-mismatch": 409, tooMany: 429,
	noFunds: 422, "recipient-limit-exceeded": 422, "recipient-minor": 422, "recipient-account-blocked": 422,
	"recipient-account-inactive": 422, "invalid-aggregated-merchant-id": 422,
	"payout-reversal-time-limit-exceeded": 422, "payout-reversal-account-terminated": 422,
	"internal-server-error": 500, "service-unavailable": 503,
}

type detail struct {
	Loc []string `json:"loc"`
	Msg string   `json:"msg"`
}

// refuse answers with an error body and names it for the counts.
func (c *exchange) refuse(code string, details ...detail) string {
	status, ok := statuses[code]
	if !ok {
		status = http.StatusUnprocessableEntity
	}
	body, err := json.Marshal(struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []detail `json:"details,omitempty"`
	}{code, "The request was refused: " + code + ".", details})
	if err != nil {
		body = []byte(`{}`)
	}
	wire.JSON(c.w, status, body)
	switch code {
	case notFound:
		return "not_found"
	case tooMany:
		return "too_many"
	default:
		return "refused_" + code
	}
}

// invalid is a field that breaks the documentation.
func (c *exchange) invalid(where, field, why string) string {
	return c.refuse(validation, detail{[]string{where, field}, why})
}

// serverError is Wave's own error, or the page of what stands before it.
func (c *exchange) serverError(status int) {
	switch status {
	case http.StatusInternalServerError:
		c.refuse("internal-server-error")
	case http.StatusServiceUnavailable:
		c.refuse("service-unavailable")
	default:
		wire.Page(c.w, status, http.StatusText(status))
	}
}
