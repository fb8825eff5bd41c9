package renewal

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Expiry is a metric of when certificates end, read anew whenever it is asked for. What cannot be read has ended already: it is
// of no use to the next connection, and is to be seen before that is made.
type Expiry map[string]func() (time.Time, error)

var expires = prometheus.NewDesc("agogo_certificate_expires_timestamp_seconds",
	"When a certificate ends, in seconds since 1970; 0 when it cannot be read. Of a file of authorities, the last of them.", []string{"certificate"}, nil)

// Describe is for [prometheus.Collector].
func (e Expiry) Describe(ch chan<- *prometheus.Desc) { ch <- expires }

// Collect is for [prometheus.Collector].
func (e Expiry) Collect(ch chan<- prometheus.Metric) {
	for name, ends := range e {
		seconds := 0.0
		if at, err := ends(); err == nil {
			seconds = float64(at.Unix())
		}
		ch <- prometheus.MustNewConstMetric(expires, prometheus.GaugeValue, seconds, name)
	}
}

// Authorities is when the last of the certificates in a PEM file ends: until then it may still vouch for somebody. While an
// authority is replaced the file holds the old one too.
func Authorities(path string) func() (time.Time, error) {
	return func() (time.Time, error) {
		var last time.Time
		rest, err := os.ReadFile(path)
		if err != nil {
			return last, err
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return last, fmt.Errorf("%s: %w", path, err)
			}
			if c.NotAfter.After(last) {
				last = c.NotAfter
			}
		}
		if last.IsZero() {
			return last, fmt.Errorf("%s holds no certificate", path)
		}
		return last, nil
	}
}
