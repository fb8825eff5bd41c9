package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	takePatience = 3 * time.Second // for a server to read its files
	takePoll     = 50 * time.Millisecond
)

// errRefused is told once, and the server again at each look, until its files are right.
var errRefused = errors.New("it was told to read its files again and goes on with what it had: they are wrong, its own log says how")

// loaded is when the server took its files last; the zero time where nobody is asked.
func (r *Reloader) loaded(ctx context.Context) (time.Time, error) {
	var state struct {
		At time.Time `json:"config_load_time"`
	}
	if r.Monitor == "" {
		return state.At, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Monitor+"/varz", nil)
	if err != nil {
		return state.At, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return state.At, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&state); err != nil {
		return state.At, fmt.Errorf("%s: %w", req.URL, err)
	}
	return state.At, nil
}

// taken waits until the server has taken its files. A signal has no answer: a server that finds an error in any of them keeps
// what it had, and a key that is shut out then stays so until somebody tells it again.
func (r *Reloader) taken(ctx context.Context, before time.Time) error {
	if r.Monitor == "" {
		return nil
	}
	for range int(takePatience / takePoll) {
		at, err := r.loaded(ctx)
		if err != nil {
			return err
		}
		if at.After(before) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(takePoll):
		}
	}
	r.refusals.Inc()
	return errRefused
}
