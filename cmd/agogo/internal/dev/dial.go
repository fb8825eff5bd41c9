package dev

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/rpc"
)

// machineCA in Info.GRPCCA trusts the authorities that this machine trusts.
const machineCA = "system"

// Dial connects to a service of the installation, with TLS where the context names whom to trust.
func (i *Info) Dial(addr, token string) (*grpc.ClientConn, error) {
	switch i.GRPCCA {
	case "":
		return rpc.Dial(addr, token)
	case machineCA:
		return rpc.Dial(addr, token, rpc.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}))
	}
	pem, err := os.ReadFile(i.GRPCCA)
	if err != nil {
		return nil, fmt.Errorf("the context's grpc_ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the context's grpc_ca: %s holds no certificate in PEM", i.GRPCCA)
	}
	return rpc.Dial(addr, token, rpc.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}))
}
