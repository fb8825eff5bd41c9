package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	databasePort = "15432" // so that a Postgres of the machine's own is in nobody's way
	simulated    = "http://" + host + ":9900"
)

// password of the database's administrator, which is reachable from this machine and its pods only.
const password = "cluster"

// postgres runs a server of the machine's, with TLS, as a database service would be: outside of the cluster.
func (c cluster) postgres(ctx context.Context) error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return errors.Join(errors.New("there is no Postgres in /usr/lib/postgresql: apt-get install postgresql"), err)
	}
	bin := filepath.Dir(found[len(found)-1])
	as, err := account("postgres")
	if err != nil {
		return err
	}
	if _, err := command(ctx, filepath.Join(c.root, "bin", "agogo"), "provision", "keys", "--dir", c.path("keys"), "--host", host); err != nil {
		return err
	}
	data := c.path("postgres")
	if err := errors.Join(os.MkdirAll(data, 0o700), os.Chown(data, int(as.Uid), int(as.Gid)), c.write("pgpassword", password+"\n"), os.Chown(c.path("pgpassword"), int(as.Uid), int(as.Gid))); err != nil {
		return err
	}
	if _, err := command(ctx, "setpriv", "--reuid="+fmt.Sprint(as.Uid), "--regid="+fmt.Sprint(as.Gid), "--clear-groups", filepath.Join(bin, "initdb"), "--no-sync", "-D", data, "-U", "postgres", "-A", "scram-sha-256",
		"--pwfile", c.path("pgpassword"), "-E", "UTF8", "--locale", "C"); err != nil {
		return err
	}
	for from, to := range map[string]string{"postgres.crt": "server.crt", "postgres.key": "server.key"} {
		raw, err := os.ReadFile(c.path("keys", "tls", from))
		if err == nil {
			err = errors.Join(os.WriteFile(filepath.Join(data, to), raw, 0o600), os.Chown(filepath.Join(data, to), int(as.Uid), int(as.Gid)))
		}
		if err != nil {
			return err
		}
	}
	rules, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = rules.WriteString("hostssl all all " + node + "/32 scram-sha-256\n") // pods come with the node's address
	if err := errors.Join(err, rules.Close()); err != nil {
		return err
	}
	// It is thrown away with the cluster, and nothing here kills it: it need not wait for the disk.
	if err := c.start(ctx, "postgres", as, filepath.Join(bin, "postgres"), "-D", data, "-p", databasePort, "-c", "listen_addresses="+host, "-c", "unix_socket_directories=", "-c", "ssl=on", "-c", "fsync=off"); err != nil {
		return err
	}
	return c.await(ctx, "postgres", time.Minute, func() bool { return answers(ctx, host+":"+databasePort) })
}

// account is who a server runs as that refuses to be root.
func account(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user %s, whom the package postgresql makes: %w", name, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func answers(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// simulator runs the simulated providers, whose book says at the end what money moved.
func (c cluster) simulator(ctx context.Context) error {
	if err := c.start(ctx, "simulator", nil, filepath.Join(c.root, "bin", "agogo"), "simulator", "--addr", strings.TrimPrefix(simulated, "http://")); err != nil {
		return err
	}
	return c.await(ctx, "simulator", time.Minute, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, simulated+"/_control/calls", nil)
		if err != nil {
			return false
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}
