package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agogopay/agogo/internal/stream"
)

// Secret is a Kubernetes Secret that holds some of the keys, so that each process can be given its own and nobody else's.
type Secret struct {
	Name     string
	Instance string // the installation that it belongs to: the chart's fullname
	Type     string
	Data     map[string]string
}

// secretShape says which files of the keys are in a Secret.
type secretShape struct {
	suffix string
	kind   string
	files  map[string]string // path by name in the Secret
}

const (
	opaque    = "Opaque"
	tlsSecret = "kubernetes.io/tls"

	publicKeys  = "-keys-nats"   // suffix of the Secret with the public keys that the broker lets in
	tokenHashes = "-keys-hashes" // of the one that tells services which tokens they let in
)

// shapes are all Secrets of an installation. Those of certificates have the shape that cert-manager gives them too.
func shapes(certificates bool) []secretShape {
	all := []secretShape{
		{"-keys-auditor", opaque, map[string]string{"nats.nk": "nats/auditor.nk"}},
		{"-keys-tokens", opaque, map[string]string{}},
	}
	provision := map[string]string{"nats.nk": "nats/provisioner.nk", "admin": "postgres/admin"}
	for _, s := range Services {
		provision[s] = "postgres/" + s
		all = append(all, secretShape{"-keys-" + s, opaque, map[string]string{"nats.nk": "nats/" + s + ".nk", "pgpass": "pgpass/" + s}})
	}
	for _, t := range Tokens {
		all[1].files[t] = "tokens/" + t
	}
	all = append(all, secretShape{"-keys-provision", opaque, provision})
	if !certificates {
		return all
	}
	all = append(all, secretShape{"-ca", opaque, map[string]string{"ca.crt": "tls/ca.crt", "ca.key": "tls/ca.key"}})
	for _, name := range []string{"nats", "grpc"} {
		all = append(all, secretShape{"-tls-" + name, tlsSecret, map[string]string{"tls.crt": "tls/" + name + ".crt", "tls.key": "tls/" + name + ".key", "ca.crt": "tls/ca.crt"}})
	}
	return all
}

// PublicFile is where the broker finds the public keys of its users. It is a file and no environment, because what a file says
// a running server can be told to read again.
const PublicFile = "keys.conf"

// Secrets are the keys as Secrets whose names begin with prefix. Public keys of the broker's users are among them as a file that
// its configuration includes, and hashes of the tokens as variables of the services' environment.
func (k Keys) Secrets(prefix string, certificates bool) ([]Secret, error) {
	var all []Secret
	for _, shape := range shapes(certificates) {
		s := Secret{Name: prefix + shape.suffix, Instance: prefix, Type: shape.kind, Data: map[string]string{}}
		for key, path := range shape.files {
			raw, err := os.ReadFile(filepath.Join(k.Dir, path))
			if err != nil {
				return nil, err
			}
			s.Data[key] = strings.TrimSuffix(string(raw), "\n")
			if strings.HasPrefix(path, "tls/") {
				s.Data[key] = string(raw)
			}
		}
		all = append(all, s)
	}
	var lines strings.Builder
	for _, u := range stream.Users() {
		key, err := k.Public(u.User)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&lines, "%s: %s\n", KeyVariable(u.User), key)
	}
	public := Secret{Name: prefix + publicKeys, Instance: prefix, Type: opaque, Data: map[string]string{PublicFile: lines.String()}}
	hashes, err := k.hashes()
	if err != nil {
		return nil, err
	}
	known := Secret{Name: prefix + tokenHashes, Instance: prefix, Type: opaque, Data: map[string]string{}}
	for name, hash := range hashes {
		known.Data[HashVariable(name)] = hash
	}
	return append(all, public, known), nil
}

// Restore writes the files that Secrets hold, as far as they are given; it is the way back of [Keys.Secrets], after which
// [Keys.Make] adds what is missing.
func (k Keys) Restore(prefix string, given map[string]Secret) error {
	for _, shape := range shapes(true) {
		s, ok := given[prefix+shape.suffix]
		if !ok {
			continue
		}
		for key, path := range shape.files {
			value, ok := s.Data[key]
			if !ok || strings.HasPrefix(path, "pgpass/") { // made from the password
				continue
			}
			if old, err := os.ReadFile(filepath.Join(k.Dir, path)); err == nil && strings.TrimSpace(string(old)) == strings.TrimSpace(value) {
				continue
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := k.write(path, []byte(strings.TrimSuffix(value, "\n"))); err != nil {
				return err
			}
		}
	}
	return nil
}
