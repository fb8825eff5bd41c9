package provision

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/agogopay/agogo/internal/stream"
)

// Tokens are the actors that an installation begins with.
var Tokens = []string{"admin", "operator", "approver", "approver2"}

// administrator is the role that provisions, where an installer makes it.
const administrator = "admin"

// Keys is the folder that holds everything secret of an installation, a file each:
//
//	nats/<user>.nk        seed of the user's nkey     nats/<user>.pub  its public key, which the broker's configuration names
//	postgres/<service>    password of its role, and of admin, for installers that make one
//	pgpass/<service>      the same, for PGPASSFILE
//	tokens/<name>         bearer token
//	tls/…                 see [Certificates]
type Keys struct{ Dir string }

// Make writes what is missing. What is there stays as it is, so that it may be repeated, and after an upgrade adds what is new.
func (k Keys) Make() error {
	for _, u := range stream.Users() {
		if err := k.makeNkey(u.User); err != nil {
			return err
		}
	}
	for _, s := range append([]string{administrator}, Services...) {
		if err := k.makeSecret(filepath.Join("postgres", s)); err != nil {
			return err
		}
		if err := k.makePassfile(s); err != nil {
			return err
		}
	}
	for _, t := range Tokens {
		if err := k.makeSecret(filepath.Join("tokens", t)); err != nil {
			return err
		}
	}
	return nil
}

// NATS is the path of a user's seed: what AGOGO_NATS_CREDS names.
func (k Keys) NATS(user string) string { return filepath.Join(k.Dir, "nats", user+".nk") }

// Public is a user's public key.
func (k Keys) Public(user string) (string, error) {
	return k.read(filepath.Join("nats", user+".pub"))
}

// Passwords are those of the services' roles.
func (k Keys) Passwords() (map[string]string, error) {
	passwords := map[string]string{}
	for _, s := range Services {
		p, err := k.read(filepath.Join("postgres", s))
		if err != nil {
			return nil, err
		}
		passwords[s] = p
	}
	return passwords, nil
}

// Tokens are those of the actors.
func (k Keys) Tokens() (map[string]string, error) {
	tokens := map[string]string{}
	for _, name := range Tokens {
		t, err := k.read(filepath.Join("tokens", name))
		if err != nil {
			return nil, err
		}
		tokens[name] = t
	}
	return tokens, nil
}

// Authority is the path of the authority that [Keys.Certificates] makes, which may not be there.
func (k Keys) Authority() string { return filepath.Join(k.Dir, "tls", "ca.crt") }

func (k Keys) read(name string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(k.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: make it with agogo provision keys --dir %s", err, k.Dir)
	}
	return strings.TrimSpace(string(raw)), err
}

func (k Keys) makeNkey(user string) error {
	seedFile := filepath.Join("nats", user+".nk")
	if k.has(seedFile) && k.has(filepath.Join("nats", user+".pub")) {
		return nil
	}
	pair, err := k.nkey(seedFile)
	if err != nil {
		return err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return err
	}
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	// The seed first: a public key without one would be let in at the broker, and nobody could come.
	return errors.Join(k.write(seedFile, seed), k.write(filepath.Join("nats", user+".pub"), []byte(public)))
}

// nkey is the one that an earlier attempt left, or a new one.
func (k Keys) nkey(seedFile string) (nkeys.KeyPair, error) {
	raw, err := os.ReadFile(filepath.Join(k.Dir, seedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nkeys.CreateUser()
	}
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(raw))))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", seedFile, err)
	}
	return pair, nil
}

// makePassfile writes a role's password as libpq reads it, so that no address needs to hold it. It follows the password, which
// somebody may have replaced.
func (k Keys) makePassfile(name string) error {
	password, err := k.read(filepath.Join("postgres", name))
	if err != nil {
		return err
	}
	role := Role(name)
	if name == administrator {
		role = "*" // whatever the administrator is called there
	}
	return k.write(filepath.Join("pgpass", name), []byte(fmt.Sprintf("*:*:*:%s:%s", role, password)))
}

// makeSecret writes 130 bits that need no escaping anywhere.
func (k Keys) makeSecret(name string) error {
	if k.has(name) {
		return nil
	}
	return k.write(name, []byte(rand.Text()))
}

func (k Keys) has(name string) bool {
	_, err := os.Stat(filepath.Join(k.Dir, name))
	return err == nil
}

// write never leaves half a file behind. Only its owner may read it.
func (k Keys) write(name string, content []byte) error {
	path := filepath.Join(k.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
