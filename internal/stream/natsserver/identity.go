package natsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/agogopay/agogo/internal/stream"
)

// identity is who may connect. The server runs in operator mode, because that is what credentials files (as production
// uses them) need. The account's key must survive restarts, since JetStream keeps streams under the account's name, and so
// must the credentials, since people configure them elsewhere; operator and system account are made anew each time.
type identity struct {
	account   nkeys.KeyPair
	credsPath string
}

const (
	accountFile = "account.nk"
	credsFile   = "agogo.creds"
	private     = 0o600
)

func loadIdentity(dir string) (*identity, error) {
	account, err := loadAccount(dir)
	if err != nil {
		return nil, err
	}
	id := &identity{account: account, credsPath: filepath.Join(dir, credsFile)}
	if id.credsPath, err = filepath.Abs(id.credsPath); err != nil {
		return nil, err
	}
	return id, id.ensureCreds()
}

func loadAccount(dir string) (nkeys.KeyPair, error) {
	path := filepath.Join(dir, accountFile)
	seed, err := os.ReadFile(path)
	if err == nil {
		kp, err := nkeys.FromSeed(seed)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return kp, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if old, _ := os.ReadDir(filepath.Join(dir, "jetstream")); len(old) > 0 {
		return nil, fmt.Errorf("%s holds streams but %s is missing, and without it they cannot be reached; restore the file, or move %s away to start empty",
			dir, accountFile, filepath.Join(dir, "jetstream"))
	}
	kp, err := nkeys.CreateAccount()
	if err != nil {
		return nil, err
	}
	if seed, err = kp.Seed(); err != nil {
		return nil, err
	}
	return kp, writeWhole(path, seed)
}

// ensureCreds writes the credentials once; those of an earlier start are kept while they belong to the account.
func (id *identity) ensureCreds() error {
	accountKey, err := id.account.PublicKey()
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(id.credsPath); err == nil && belongs(old, accountKey) {
		return os.Chmod(id.credsPath, private)
	}
	return id.issue(id.credsPath, "agogo", jwt.Permissions{})
}

// ensureUsers writes credentials of users who may do no more than their access says. They are made anew at each start: what
// they allow may have changed with the binary.
func (id *identity) ensureUsers(dir string, users []stream.Access) (map[string]string, error) {
	if len(users) == 0 {
		return nil, nil
	}
	dir, err := filepath.Abs(filepath.Join(dir, "users"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, u := range users {
		var p jwt.Permissions
		p.Pub.Allow.Add(u.Publish...)
		p.Pub.Deny.Add(u.DenyPublish...)
		p.Sub.Allow.Add(u.Subscribe...)
		paths[u.User] = filepath.Join(dir, u.User+".creds")
		if err := id.issue(paths[u.User], u.User, p); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// issue writes credentials of a new key of the account.
func (id *identity) issue(path, name string, allowed jwt.Permissions) error {
	user, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	userKey, err := user.PublicKey()
	if err != nil {
		return err
	}
	claims := jwt.NewUserClaims(userKey)
	claims.Name, claims.Permissions = name, allowed
	token, err := claims.Encode(id.account)
	if err != nil {
		return err
	}
	seed, err := user.Seed()
	if err != nil {
		return err
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return err
	}
	return writeWhole(path, creds)
}

func belongs(creds []byte, accountKey string) bool {
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return false
	}
	claims, err := jwt.DecodeUserClaims(token)
	return err == nil && claims.Issuer == accountKey
}

// apply makes opts trust the account.
func (id *identity) apply(opts *server.Options) error {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		return err
	}
	operatorKey, err := operator.PublicKey()
	if err != nil {
		return err
	}
	system, err := nkeys.CreateAccount()
	if err != nil {
		return err
	}
	resolver := &server.MemAccResolver{}
	if opts.SystemAccount, err = register(resolver, operator, system, "SYS", jwt.JetStreamLimits{}); err != nil {
		return err
	}
	unlimited := jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	if _, err = register(resolver, operator, id.account, "AGOGO", unlimited); err != nil {
		return err
	}
	opts.TrustedKeys, opts.AccountResolver = []string{operatorKey}, resolver
	return nil
}

func register(to server.AccountResolver, operator, account nkeys.KeyPair, name string, js jwt.JetStreamLimits) (string, error) {
	key, err := account.PublicKey()
	if err != nil {
		return "", err
	}
	claims := jwt.NewAccountClaims(key)
	claims.Name = name
	claims.Limits.JetStreamLimits = js
	token, err := claims.Encode(operator)
	if err != nil {
		return "", err
	}
	return key, to.Store(key, token)
}

// writeWhole never leaves half a file behind, whenever the process dies.
func writeWhole(path string, content []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, content, private); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
