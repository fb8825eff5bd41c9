package provision

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityAge   = 10 * 365 * 24 * time.Hour
	certificateAge = 825 * 24 * time.Hour
	renewBefore    = 90 * 24 * time.Hour // certificates that end sooner are made anew
	clockSkew      = time.Hour
)

// Broker is the name of the certificate that servers of NATS have. It alone opens connections with it, to the other servers: whoever
// else could would be a server of the cluster, for which no user's rights count.
const Broker = "nats"

// Certificates makes tls/ca.crt and tls/ca.key, and tls/<name>.crt and .key for each name, good for hosts. It is for
// installations that have no authority of their own; those that have put its files there. A certificate that is still good
// for all hosts, and for no more than its uses, is kept.
func (k Keys) Certificates(now time.Time, names, hosts []string) error {
	ca, err := k.authority(now)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := k.certificate(now, ca, name, hosts); err != nil {
			return err
		}
	}
	return nil
}

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (k Keys) authority(now time.Time) (pair, error) {
	p, err := k.load("ca")
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	return k.issue("ca", pair{}, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Agogo installation"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityAge),
	})
}

func (k Keys) certificate(now time.Time, ca pair, name string, hosts []string) error {
	old, err := k.load(name)
	if err == nil && old.cert.CheckSignatureFrom(ca.cert) == nil && old.cert.NotAfter.After(now.Add(renewBefore)) && serves(old.cert, hosts) && fits(old.cert, name) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(certificateAge),
		ExtKeyUsage: uses(name),
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	_, err = k.issue(name, ca, c)
	return err
}

// uses are what a certificate is good for: servers of the broker open connections to each other as well as take them.
func uses(name string) []x509.ExtKeyUsage {
	if name == Broker {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// fits reports whether a certificate, of whoever made it, is good for what it has to be and for no more: nobody but the broker opens
// connections with one.
func fits(c *x509.Certificate, name string) bool {
	has := func(use x509.ExtKeyUsage) bool { return len(c.ExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, use) }
	return has(x509.ExtKeyUsageServerAuth) && has(x509.ExtKeyUsageClientAuth) == (name == Broker)
}

func serves(c *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(h string) bool {
		if net.ParseIP(h) == nil {
			return !slices.Contains(c.DNSNames, h)
		}
		return c.VerifyHostname(h) != nil
	})
}

// issue signs c with a new key and writes both; without a parent it signs itself.
func (k Keys) issue(name string, parent pair, c *x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return pair{}, err
	}
	if parent.key == nil {
		parent = pair{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.cert, key.Public(), parent.key)
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	encode := func(kind string, der []byte) []byte {
		return slices.Clip(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return pair{cert, key}, errors.Join(
		k.write(filepath.Join("tls", name+".key"), encode("PRIVATE KEY", raw)),
		k.write(filepath.Join("tls", name+".crt"), encode("CERTIFICATE", der)))
}

func (k Keys) load(name string) (pair, error) {
	decode := func(file string) ([]byte, error) {
		raw, err := os.ReadFile(filepath.Join(k.Dir, "tls", file))
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			return nil, fmt.Errorf("tls/%s is no PEM: move it away, and it is made anew", file)
		}
		return block.Bytes, nil
	}
	der, err := decode(name + ".crt")
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, fmt.Errorf("tls/%s.crt: %w", name, err)
	}
	if der, err = decode(name + ".key"); err != nil {
		return pair{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return pair{}, fmt.Errorf("tls/%s.key: %w", name, err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return pair{}, fmt.Errorf("tls/%s.key is not one that agogo made; sign the certificates where it comes from", name)
	}
	return pair{cert, signer}, nil
}
