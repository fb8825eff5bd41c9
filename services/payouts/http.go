package payouts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// httpServer serves health, metrics and webhooks as a part of a lifecycle.Group.
type httpServer struct {
	addr     string
	handler  http.Handler
	listener net.Listener
	server   *http.Server
}

// Addr is where it listens, with the real port, or where it will.
func (h *httpServer) Addr() string {
	if h.listener == nil {
		return h.addr
	}
	return h.listener.Addr().String()
}

func (h *httpServer) start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", h.addr)
	if err != nil {
		return fmt.Errorf("listen for health, metrics and webhooks (AGOGO_HTTP_ADDR): %w", err)
	}
	h.listener = l
	h.server = &http.Server{Handler: h.handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = h.server.Serve(l) }() // ends with the listener; a server that does not answer fails its probes
	return nil
}

func (h *httpServer) stop(ctx context.Context) error {
	if err := h.server.Shutdown(ctx); err != nil {
		return errors.Join(err, h.server.Close())
	}
	return nil
}
