package sonatel

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"

	"github.com/agogopay/agogo/simulator/internal/wire"
)

// problem is an error of the platform. Its codes are known; which HTTP status each comes with is an assumption.
type problem struct {
	status int
	code   string
	title  string
	kind   string
}

var (
	notFound  = problem{404, "60", "Resource not found", "/entity-not-found"}
	badToken  = problem{401, "10", "Invalid credentials", "/unauthorized"}
	mediaType = problem{415, "", "Unsupported Media Type", "about:blank"}
	internal  = problem{500, "50", "Internal error", "/internal"}
)

func problemOf(code string) problem {
	titles := map[string]string{
		"2000": "Customer account does not exist", "2001": "Customer MSISDN is invalid", "2010": "PIN code must be changed",
		"2011": "PIN code is invalid, 2 attempts left", "2012": "PIN code is invalid, 1 attempt left", "2013": "PIN code is invalid, account is blocked",
		"2020": "Balance insufficient", "2021": "Payer balance insufficient", "2022": "Payee balance", "2023": "Account ceiling reached",
		"2024": "Partner ceiling reached", "2025": "Customer ceiling reached", "2041": "Transaction not allowed", "2042": "Partner not allowed",
		"2043": "Customer not allowed", "4003": "Encryption key revoked", "4004": "QR code expired", "4099": "Bad request",
	}
	switch code {
	case "10":
		return badToken
	case "50", "":
		return internal
	case "60":
		return notFound
	}
	p := problem{http.StatusBadRequest, code, titles[code], "/bad-request"}
	if p.title == "" {
		p.title = "Refused"
	}
	return p
}

// refuse answers with a problem and names it for the counts.
func refuse(w http.ResponseWriter, p problem) string {
	body, err := json.Marshal(map[string]string{
		"type": p.kind, "title": p.title, "instance": "/api/eWallet/v1", "status": strconv.Itoa(p.status), "code": p.code, "detail": p.title,
	})
	if err != nil {
		body = []byte(`{"code":"50"}`)
	}
	wire.JSON(w, p.status, body)
	if p.code == "" {
		return "refused_" + http.StatusText(p.status)
	}
	return "code_" + p.code
}

// gatewayError is what stands between the caller and the platform speaking: a page.
func gatewayError(w http.ResponseWriter, status int) {
	if status == http.StatusInternalServerError {
		refuse(w, internal)
		return
	}
	wire.Page(w, status, http.StatusText(status))
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}
