package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// ServerTLS serves with the certificate chain and key of two PEM files; with neither it is nil, which is plaintext. A
// certificate that was renewed in its place serves the connections that are made from then on: whoever renews them every
// few weeks restarts nothing.
func ServerTLS(certFile, keyFile string) (credentials.TransportCredentials, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil //nolint:nilnil // no credentials are what ServerConfig.TLS takes for plaintext
	}
	r := &renewed{certFile: certFile, keyFile: keyFile}
	if _, err := r.get(nil); err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: r.get}), nil
}

// renewed is the newest certificate that could be read.
type renewed struct {
	certFile, keyFile string
	mu                sync.Mutex
	read              [2]time.Time // when the files were written that current is of
	current           *tls.Certificate
}

func (r *renewed) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	written, err := r.written()
	if err == nil && r.current != nil && written == r.read {
		return r.current, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(r.certFile, r.keyFile)
	}
	switch {
	case err == nil:
		r.current, r.read = &pair, written
	case r.current == nil:
		return nil, fmt.Errorf("certificate of gRPC: %w", err)
	}
	// Between the writing of the two files they do not fit; the ones before are good until then.
	return r.current, nil
}

func (r *renewed) written() (at [2]time.Time, err error) {
	for i, f := range []string{r.certFile, r.keyFile} {
		s, failed := os.Stat(f)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		at[i] = s.ModTime()
	}
	return at, err
}
