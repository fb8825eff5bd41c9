package provider

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// Panic describes a panic of an adapter for a log: what kind it is and where it came from. It is called in the function that
// recovers. Neither arguments nor the words of a panic that the runtime did not raise are told: they may be personal.
func Panic(p any) slog.Value {
	what := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var stack strings.Builder
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Fprintf(&stack, "%s:%d\n", f.Function, f.Line)
	}
	return slog.GroupValue(slog.String("what", what), slog.String("stack", stack.String()))
}
