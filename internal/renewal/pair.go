// Package renewal follows files that are replaced while a process runs: certificates that are renewed every few weeks, and
// keys and settings that somebody changes.
package renewal

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Pair is the newest certificate, with its key, that could be read of two PEM files. Whoever serves with it serves a renewed one
// to the connections that are made from then on.
type Pair struct {
	certFile, keyFile string
	mu                sync.Mutex
	read              [2]time.Time // when the files were written that current is of
	current           *tls.Certificate
}

// NewPair reads the files for the first time; from then on what cannot be read leaves the last certificate in force.
func NewPair(certFile, keyFile string) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile}
	if _, err := p.Get(nil); err != nil {
		return nil, err
	}
	return p, nil
}

// Get is for [tls.Config.GetCertificate].
func (p *Pair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written, err := p.written()
	if err == nil && p.current != nil && written == p.read {
		return p.current, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(p.certFile, p.keyFile)
	}
	switch {
	case err == nil:
		p.current, p.read = &pair, written
	case p.current == nil:
		return nil, fmt.Errorf("certificate: %w", err)
	}
	// Between the writing of the two files they do not fit; the ones before are good until then.
	return p.current, nil
}

// Expires is when the certificate that is in force ends.
func (p *Pair) Expires() (time.Time, error) {
	c, err := p.Get(nil)
	if err != nil {
		return time.Time{}, err
	}
	leaf := c.Leaf
	if leaf == nil { // GODEBUG may ask for none to be kept
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return time.Time{}, err
		}
	}
	return leaf.NotAfter, nil
}

func (p *Pair) written() (at [2]time.Time, err error) {
	for i, f := range []string{p.certFile, p.keyFile} {
		s, failed := os.Stat(f)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		at[i] = s.ModTime()
	}
	return at, err
}
