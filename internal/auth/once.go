package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth/db"
	"github.com/agogopay/agogo/internal/retention"
)

type bodyKey struct{}

// WithRequest remembers the request's encoded body, so that [Once] can tell a repetition from another request under the
// same id. The RPC server does it for every unary call, so no handler can forget it.
func WithRequest(ctx context.Context, body []byte) context.Context {
	return context.WithValue(ctx, bodyKey{}, sha256.Sum256(body))
}

func bodyHash(ctx context.Context) []byte {
	h, _ := ctx.Value(bodyKey{}).([sha256.Size]byte)
	return h[:]
}

// Once makes a mutation idempotent by (tenant, actor, method, request id): the first call runs fn and stores its result in
// tx, later calls get that result, for at least [AnswersKept]. The same id with another body is refused. An empty request id
// always runs fn.
func Once(ctx context.Context, tx pgx.Tx, tenant, method, requestID string, fn func() ([]byte, error)) ([]byte, error) {
	if requestID == "" {
		return fn()
	}
	actor, ok := ActorFrom(ctx)
	if !ok {
		return nil, fmt.Errorf("request %s of %s: no authenticated actor in the context", requestID, method)
	}
	q := db.New(tx)
	requestID, body := storable(requestID), bodyHash(ctx)
	claimed, err := q.ClaimRequest(ctx, db.ClaimRequestParams{
		Tenant: tenant, Actor: actor.Name, Method: method, RequestID: requestID, BodyHash: body,
	})
	if err != nil {
		return nil, fmt.Errorf("claim request %s: %w", requestID, err)
	}
	if claimed == 0 {
		return answer(ctx, q, db.AnswerOfParams{Tenant: tenant, Actor: actor.Name, Method: method, RequestID: requestID}, body)
	}
	result, err := fn()
	if err != nil {
		return nil, err // the caller's rollback frees the id
	}
	if result == nil {
		result = []byte{}
	}
	err = q.KeepAnswer(ctx, db.KeepAnswerParams{
		Tenant: tenant, Actor: actor.Name, Method: method, RequestID: requestID, Result: result,
	})
	if err != nil {
		return nil, fmt.Errorf("keep the answer of request %s: %w", requestID, err)
	}
	return result, nil
}

func answer(ctx context.Context, q *db.Queries, key db.AnswerOfParams, body []byte) ([]byte, error) {
	row, err := q.AnswerOf(ctx, key)
	if errors.Is(err, pgx.ErrNoRows) {
		// The conflict was with an answer that is forgotten just now, or, in a repeatable-read transaction, with one that it
		// cannot see.
		return nil, status.Errorf(codes.Aborted, "request %s is being answered: call again", key.RequestID)
	}
	if err != nil {
		return nil, fmt.Errorf("answer of request %s: %w", key.RequestID, err)
	}
	if !bytes.Equal(row.BodyHash, body) {
		return nil, reused()
	}
	return row.Result, nil
}

// reused is an INVALID_ARGUMENT, as AIP-155 asks for.
func reused() error {
	const text = "was used for another request: make a new id for each request, and repeat one only to repeat the request"
	s := status.New(codes.InvalidArgument, "request_id: "+text)
	detailed, err := s.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "request_id", Description: text},
	}})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}

// AnswersKept is for how long a repeated request gets its first answer. Whoever repeats one does so within minutes, or
// within days after an outage.
const AnswersKept = 7 * 24 * time.Hour

// Retention forgets the answers of requests that are older than [AnswersKept], as measured by the database, which also
// wrote when they came.
func Retention(conn db.DBTX) retention.Rule {
	return retention.Rule{Rows: "answers of requests", Delete: func(ctx context.Context, limit int32) (int64, error) {
		n, err := db.New(conn).ForgetAnswers(ctx, db.ForgetAnswersParams{OlderThanSeconds: AnswersKept.Seconds(), Batch: limit})
		if err != nil {
			return n, fmt.Errorf("forget old answers of requests: %w", err)
		}
		return n, nil
	}}
}
