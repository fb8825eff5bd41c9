package orange

import (
	"encoding/json"
	"net/http"

	"github.com/agogopay/agogo/simulator/internal/wire"
)

// problem is the platform's documented error body, with the HTTP status that it comes with.
type problem struct {
	status      int
	Code        int    `json:"code"`
	Message     string `json:"message"`
	Description string `json:"description"`
}

func problemMissingCredentials() problem {
	return problem{401, 40, "Missing credentials", "The requested service needs credentials, but none were provided."}
}

func problemInvalidCredentials() problem {
	return problem{401, 41, "Invalid credentials", "The requested service needs credentials, and the ones provided were invalid."}
}

func problemExpired() problem {
	return problem{401, 42, "Expired credentials", "The requested service needs credentials, and the ones provided were out-of-date."}
}

func problemNotSubscribed() problem {
	return problem{403, 50, "Access denied", "The application is not authorized to access this endpoint."}
}

func problemTooMany() problem {
	return problem{429, 53, "Too many requests", "The application has made too many calls and has exceeded the rate limit for this service."}
}

func problemNotFound(description string) problem {
	return problem{404, 60, "Resource not found", description}
}

func problemNotAcceptable() problem {
	return problem{406, 62, "Not acceptable", "The Accept header has to be application/json."}
}

func problemMediaType(wanted string) problem {
	return problem{415, 68, "Unsupported media type", "The Content-Type header has to be " + wanted + "."}
}

func problemBody(description string) problem {
	return problem{400, 22, "Invalid body", description}
}

func problemField(name, why string) problem {
	return problem{400, 24, "Invalid body field", name + ": " + why}
}

func problemMissingField(name string) problem {
	return problem{400, 23, "Missing body field", name}
}

func problemHeader(description string) problem {
	return problem{400, 26, "Invalid header value", description}
}

func problemInternal() problem {
	return problem{500, 1, "Internal error", "The service has failed."}
}

// refuse answers with a problem and names it for the counts.
func refuse(w http.ResponseWriter, p problem) string {
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"code":1}`)
	}
	wire.JSON(w, p.status, body)
	return outcomeOf(p.status)
}

func outcomeOf(status int) string {
	switch status {
	case http.StatusNotFound:
		return "not_found"
	case http.StatusTooManyRequests:
		return "too_many"
	default:
		return "refused_" + http.StatusText(status)
	}
}

// gatewayError is what stands between the caller and the provider speaking: its own page for 502 and 504, the error model
// for the rest.
func gatewayError(w http.ResponseWriter, status int) {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		wire.Page(w, status, http.StatusText(status))
	case http.StatusServiceUnavailable:
		refuse(w, problem{status, 5, "Service unavailable", "The requested service is currently unavailable."})
	default:
		p := problemInternal()
		p.status = status
		refuse(w, p)
	}
}
