package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/agogopay/agogo/internal/event"
)

// newHandler reads "level" or "level,format".
func newHandler(log string, w io.Writer) (slog.Handler, error) {
	name, format, _ := strings.Cut(log, ",")
	levels := map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[name]
	if !ok {
		return nil, fmt.Errorf("AGOGO_LOG: level %q is not debug, info, warn or error", name)
	}
	// Both handlers call ReplaceAttr for everything they write, the message included, after resolving LogValuers.
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	switch format {
	case "", "text":
		return &contextHandler{slog.NewTextHandler(w, options)}, nil
	case "json":
		return &contextHandler{slog.NewJSONHandler(w, options)}, nil
	}
	return nil, fmt.Errorf("AGOGO_LOG: format %q is not text or json", format)
}

// contextHandler adds what the context knows: the trace, and the tick or request at the beginning of the chain.
type contextHandler struct{ slog.Handler }

func (h *contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	if id := event.CauseFrom(ctx).CorrelationID; id != "" {
		r.AddAttrs(slog.String("correlation_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h *contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h *contextHandler) WithGroup(name string) slog.Handler {
	return &contextHandler{h.Handler.WithGroup(name)}
}
