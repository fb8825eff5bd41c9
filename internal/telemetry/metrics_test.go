package telemetry_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/telemetry"
)

func calls(labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "calls_total", Help: "Calls."}, labels)
}

func TestSharedMetricsCountTogether(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	for range 2 {
		telemetry.Shared(r, calls("method")).WithLabelValues("get").Inc()
	}
	if got := testutil.ToFloat64(telemetry.Shared(r, calls("method"))); got != 2 {
		t.Errorf("counted %v of 2", got)
	}
}

func TestSharedWithoutARegistry(t *testing.T) {
	t.Parallel()
	c := calls("method")
	if got := telemetry.Shared(nil, c); got != c {
		t.Error("another metric came back")
	}
}

func TestSharedRefusesAnotherDefinitionOfTheName(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(prometheus.Registerer){
		"other labels": func(r prometheus.Registerer) { telemetry.Shared(r, calls("code")) },
		"other kind": func(r prometheus.Registerer) {
			telemetry.Shared(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "calls_total", Help: "Calls."}, []string{"method"}))
		},
	} {
		r := prometheus.NewRegistry()
		telemetry.Shared(r, calls("method"))
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the name was taken and nobody noticed", name)
				}
			}()
			other(r)
		}()
	}
}
