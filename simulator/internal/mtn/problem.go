package mtn

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/agogopay/agogo/simulator/internal/wire"
)

var errVerb = errors.New("verb has to be PUT, POST or nothing for either")

// problem is an error body: code and message from the platform, statusCode and message from the gateway before it.
type problem struct {
	status     int
	StatusCode int    `json:"statusCode,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
}

func problemUnauthorized() problem {
	return problem{status: 401, Message: "Access denied. The token is invalid or has expired."}
}

func problemTooMany() problem {
	return problem{status: 429, StatusCode: 429, Message: "Rate limit is exceeded. Try again later."}
}

func problemNotFound() problem {
	return problem{status: 404, Code: "RESOURCE_NOT_FOUND", Message: "Requested resource was not found."}
}

func problemExists() problem {
	return problem{status: 409, Code: "RESOURCE_ALREADY_EXIST", Message: "Duplicated reference id. Creation of resource failed."}
}

func problemInternal() problem {
	return problem{status: 500, Code: "INTERNAL_PROCESSING_ERROR", Message: "An internal error occurred while processing."}
}

// problemOf is the platform's refusal of a transfer with a code of its catalogue.
func problemOf(status int, code string) problem {
	return problem{status: status, Code: code, Message: "The transfer was refused."}
}

// badRequest is what the platform says of everything that does not follow its specification: nothing.
func badRequest(w http.ResponseWriter) string {
	w.WriteHeader(http.StatusBadRequest)
	return "bad_request"
}

// notThere is the gateway's answer for a path that it does not have. It looks like the platform's for an unknown reference to
// those who read the status only.
func notThere(w http.ResponseWriter, _ *http.Request) string {
	return refuse(w, problem{status: 404, StatusCode: 404, Message: "Resource not found"})
}

// refuse answers with a problem and names it for the counts.
func refuse(w http.ResponseWriter, p problem) string {
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{}`)
	}
	wire.JSON(w, p.status, body)
	return or(p.Code, "refused_"+http.StatusText(p.status))
}

// gatewayError is what stands between the caller and the platform speaking: its own page for 408, 502 and 504, the error model
// for the rest.
func gatewayError(w http.ResponseWriter, status int) {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		wire.Page(w, status, http.StatusText(status))
	case http.StatusServiceUnavailable:
		refuse(w, problemOf(status, "SERVICE_UNAVAILABLE"))
	default:
		p := problemInternal()
		p.status = status
		refuse(w, p)
	}
}
