package telemetry

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Shared registers a metric, or returns the one of the same definition that is registered already, so that several loops,
// outboxes or servers on one registry count together. Without a registry the metric counts for nobody.
func Shared[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there := (prometheus.AlreadyRegisteredError{}); errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic(fmt.Errorf("register a metric: %w", err)) // two definitions of one name: only a change of the code can bring that about
	}
	return c
}
