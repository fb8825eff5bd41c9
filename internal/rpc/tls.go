package rpc

import (
	"crypto/tls"
	"fmt"

	"google.golang.org/grpc/credentials"

	"github.com/agogopay/agogo/internal/renewal"
)

// ServerTLS serves with the certificate chain and key of two PEM files; with neither it is nil, which is plaintext. A
// certificate that was renewed in its place serves the connections that are made from then on: whoever renews them every
// few weeks restarts nothing.
func ServerTLS(certFile, keyFile string) (credentials.TransportCredentials, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil //nolint:nilnil // no credentials are what ServerConfig.TLS takes for plaintext
	}
	pair, err := renewal.NewPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("gRPC: %w", err)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.Get}), nil
}
