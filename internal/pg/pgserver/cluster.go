package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// cluster is a data directory of Postgres and what is needed to run it.
type cluster struct {
	dir      string // Postgres' own data directory
	bin      string
	password string
	logFile  string
	user     *syscall.Credential // nil: our own
}

// openCluster finds the programs and makes the cluster unless it is there. Layout of DataDir: password (ours alone),
// lock, postgres.log, pgdata, and pgdata.new while one is being made.
func openCluster(ctx context.Context, o Options, user *syscall.Credential) (cluster, error) {
	cl := cluster{dir: filepath.Join(o.DataDir, "pgdata"), logFile: filepath.Join(o.DataDir, "postgres.log"), user: user}
	major, err := clusterMajor(cl.dir)
	if err != nil {
		return cluster{}, err
	}
	if cl.bin, err = locate(ctx, o, major); err != nil {
		return cluster{}, err
	}
	if user != nil && !reachable(cl.bin, user) {
		return cluster{}, fmt.Errorf("user %d, who runs Postgres because root may not, cannot reach %s: install Postgres for everybody", user.Uid, cl.bin)
	}
	if major == 0 {
		if err := cl.create(ctx, o); err != nil {
			return cluster{}, fmt.Errorf("make a Postgres cluster in %s: %w", o.DataDir, err)
		}
	}
	pw, err := os.ReadFile(filepath.Join(o.DataDir, "password"))
	if err != nil {
		return cluster{}, fmt.Errorf("password of the Postgres cluster: %w: restore it, or remove %s to begin anew", err, cl.dir)
	}
	cl.password = strings.TrimSpace(string(pw))
	return cl, nil
}

// clusterMajor is the version that made the cluster, or 0 when there is none.
func clusterMajor(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func locate(ctx context.Context, o Options, major int) (string, error) {
	if o.BinDir != "" {
		return o.BinDir, usable(ctx, o.BinDir, major)
	}
	bin, err := Find(ctx, major)
	if !errors.Is(err, errNotFound) {
		return bin, err
	}
	bin, derr := download(ctx, o, major)
	if derr != nil {
		return "", fmt.Errorf("%w\n%w\n%s", err, derr, installHint(runtime.GOOS))
	}
	return bin, nil
}

func installHint(goos string) string {
	if goos == "darwin" {
		return "Install it with `brew install postgresql@17`, or name its folder in " + BinVariable + "."
	}
	return "Install it with `apt-get install postgresql` (Debian, Ubuntu) or `dnf install postgresql-server`, or name its folder in " + BinVariable + "."
}

// create makes the cluster beside its place and renames it when it is whole, so that a kill in between leaves no half one.
func (cl cluster) create(ctx context.Context, o Options) error {
	fresh := cl.dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	pwFile := filepath.Join(o.DataDir, "password")
	if copied, err := fromTemplate(o.Template, fresh, pwFile, cl.user); err != nil || copied {
		if err != nil {
			return err
		}
		return os.Rename(fresh, cl.dir)
	}
	password := rand.Text()
	if err := cl.initdb(ctx, fresh, password, o.Disposable); err != nil {
		return err
	}
	if err := os.WriteFile(pwFile, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	if o.Template != "" {
		if err := toTemplate(o.Template, fresh, pwFile); err != nil {
			return err
		}
	}
	return os.Rename(fresh, cl.dir)
}

func (cl cluster) initdb(ctx context.Context, dir, password string, disposable bool) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := give(dir, cl.user); err != nil {
		return err
	}
	pw, err := cl.passwordFile(password)
	if err != nil {
		return err
	}
	defer func() { _ = pw.Close() }()
	arg, extra, err := cl.dataArg(dir)
	if err != nil {
		return err
	}
	defer closeAll(extra)
	args := []string{
		"-D", arg, "-U", superuser, "--pwfile=/dev/stdin", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
		"--data-checksums", "--wal-segsize=4",
	}
	if disposable {
		args = append(args, "--no-sync")
	}
	if err := cl.tool(ctx, pw, extra, "initdb", args...); err != nil {
		return err
	}
	create := strings.NewReader("CREATE DATABASE " + database + "\n")
	return cl.tool(ctx, create, extra, "postgres", "--single", "-D", arg, "postgres")
}

// passwordFile hands the password to initdb as its standard input: its command line can be seen by everybody on the
// machine. It is a file without a name, for Postgres opens it once more and could not reopen a pipe of root's.
func (cl cluster) passwordFile(password string) (*os.File, error) {
	f, err := os.CreateTemp("", "agogo-")
	if err != nil {
		return nil, err
	}
	err = errors.Join(give(f.Name(), cl.user), os.Remove(f.Name()))
	if err == nil {
		_, err = f.WriteString(password + "\n")
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// tool runs one of Postgres' programs to its end and quotes it when it fails.
func (cl cluster) tool(ctx context.Context, stdin io.Reader, extra []*os.File, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(cl.bin, name), args...)
	cmd.Dir, cmd.Env = "/", childEnv()
	cmd.SysProcAttr = attributes(cl.user)
	cmd.Stdin, cmd.ExtraFiles = stdin, extra
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, lastLines(out.String()))
	}
	return nil
}

// childEnv leaves PG… variables of the user's shell and all secrets of ours out of the child.
func childEnv() []string {
	env := []string{"LC_ALL=C", "TZ=UTC"}
	for _, k := range []string{"PATH", "TMPDIR", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}
