package demo

import (
	"bytes"
	"io"
	"sync"
)

// held keeps what is written to it until it is released; from then on it passes everything through.
type held struct {
	mu   sync.Mutex
	to   io.Writer
	kept bytes.Buffer
	free bool
}

func (h *held) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.free {
		return h.to.Write(p)
	}
	return h.kept.Write(p)
}

func (h *held) release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = true
	_, err := h.kept.WriteTo(h.to)
	return err
}
