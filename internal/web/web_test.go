package web_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/web"
)

func get(t *testing.T, addr string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func TestServesBetweenStartAndStop(t *testing.T) {
	t.Parallel()
	s := &web.Server{Address: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, s.Addr()); err != nil || got != "here" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := get(t, s.Addr()); err == nil {
		t.Error("answers after Stop")
	}
}

func TestTakenAddressIsAnError(t *testing.T) {
	t.Parallel()
	first := &web.Server{Address: "127.0.0.1:0", Handler: http.NotFoundHandler()}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Stop(context.WithoutCancel(t.Context())) }()
	if err := (&web.Server{Address: first.Addr(), Handler: http.NotFoundHandler()}).Start(t.Context()); err == nil {
		t.Error("two servers on one address")
	}
}

// Stop must not wait for a request that does not end.
func TestStopClosesWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	s := &web.Server{Address: "127.0.0.1:0", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	})}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer close(leave)
	failed := make(chan error, 1)
	go func() {
		_, err := get(t, s.Addr())
		failed <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err == nil {
		t.Error("Stop says that everything finished")
	}
	if err := <-failed; err == nil {
		t.Error("the hanging request was answered")
	}
}
