package fcm

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"firebase.google.com/go/v4/errorutils"
	"firebase.google.com/go/v4/messaging"

	"github.com/agogopay/agogo/services/notifier/internal/channel"
)

// quotaWait is what the service asks for when it says "quota exceeded" without a Retry-After.
const quotaWait = time.Minute

// resultOf reads an answer. The messaging.Is… helpers look at FCM's own detail only: a 404 of a proxy, or of a wrong
// project id, is not a dead token, and must not cost anybody his device.
func resultOf(r *messaging.SendResponse) channel.Result {
	err := r.Error
	switch {
	case r.Success:
		return channel.Result{Outcome: channel.Sent}
	case messaging.IsUnregistered(err):
		return channel.Result{Outcome: channel.Dead, Code: "UNREGISTERED"}
	case messaging.IsSenderIDMismatch(err):
		return channel.Result{Outcome: channel.Dead, Code: "SENDER_ID_MISMATCH"}
	case messaging.IsThirdPartyAuthError(err):
		return channel.Result{Outcome: channel.Refused, Code: "THIRD_PARTY_AUTH_ERROR"}
	case messaging.IsInvalidArgument(err):
		return channel.Result{Outcome: channel.Invalid, Code: "INVALID_ARGUMENT"}
	case messaging.IsQuotaExceeded(err), errorutils.IsResourceExhausted(err):
		return channel.Result{Outcome: channel.Later, Code: "QUOTA_EXCEEDED", After: cmp.Or(retryAfter(err), quotaWait)}
	case messaging.IsUnavailable(err), errorutils.IsUnavailable(err):
		return channel.Result{Outcome: channel.Later, Code: "UNAVAILABLE", After: retryAfter(err)}
	case messaging.IsInternal(err), errorutils.IsInternal(err):
		return channel.Result{Outcome: channel.Later, Code: "INTERNAL", After: retryAfter(err)}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errorutils.IsDeadlineExceeded(err):
		return channel.Result{Outcome: channel.Later, Code: "TIMEOUT"}
	case errorutils.IsUnauthenticated(err), errorutils.IsPermissionDenied(err), errorutils.IsNotFound(err):
		return channel.Result{Outcome: channel.Refused, Code: status(err)}
	case errorutils.IsInvalidArgument(err):
		return channel.Result{Outcome: channel.Invalid, Code: "HTTP_400"}
	default:
		// An unreadable answer: perhaps the device has it. The same push again, with the same id.
		return channel.Result{Outcome: channel.Later, Code: status(err)}
	}
}

// status is the answer's HTTP status as a code; never its text, which may hold the token.
func status(err error) string {
	code, _ := answer(err)
	switch {
	case code != 0:
		return "HTTP_" + strconv.Itoa(code)
	case errorutils.IsUnknown(err):
		return "NETWORK"
	default:
		return "UNREADABLE"
	}
}

// retryAfter is the wait in seconds that the service asks for; the SDK forgets it when it gives up.
func retryAfter(err error) time.Duration {
	_, header := answer(err)
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}

// answer is the status and the header of the HTTP answer behind an error, 0 and nil when there was none.
func answer(err error) (status int, header http.Header) {
	resp := errorutils.HTTPResponse(err) //nolint:bodyclose // a buffered copy: the SDK has read and closed the real one
	if resp == nil {
		return 0, nil
	}
	return resp.StatusCode, resp.Header
}
