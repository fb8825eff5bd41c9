// Package web serves HTTP as a part of a lifecycle.Group: health, metrics and incoming webhooks of a service.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server listens between Start and Stop.
type Server struct {
	Address string // "host:port"; port 0 is a free one
	Handler http.Handler

	listener net.Listener
	server   *http.Server
}

// Addr is where it listens, with the real port, or where it will.
func (s *Server) Addr() string {
	if s.listener == nil {
		return s.Address
	}
	return s.listener.Addr().String()
}

// Start listens and returns.
func (s *Server) Start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen for health, metrics and webhooks (AGOGO_HTTP_ADDR): %w", err)
	}
	s.listener = l
	s.server = &http.Server{Handler: s.Handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() // ends with the listener; a server that does not answer fails its probes
	return nil
}

// Stop lets running requests finish within ctx, then closes what is left.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		return errors.Join(err, s.server.Close())
	}
	return nil
}
