package harness

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Install is one installation: a folder with the data directory and the tenants file, and the environment that all its
// processes and commands get.
type Install struct {
	Binary string
	Dir    string
	Tenant string   // named in every command; "" leaves it to agogo, which needs none when there is only one
	Env    []string // beside what every process gets
	Config string   // path of the tenants file; "" is the built-in example
	// Simulator is the address of a simulator that runs beside dev and outlives it; "" leaves it to dev to run one.
	Simulator string
}

// Credentials of the installation at the simulated providers. They are recognisable, so that a test can look for them
// where they must not be.
const (
	ClientID     = "client-id-4f1c2b7d"
	ClientSecret = "client-secret-9d0e6a35"
	PosID        = "pos-id-71b8c2ee"
	CallbackAuth = "Basic Y2FsbGJhY2s6c2VjcmV0LTM4OGE="
	MerchantID   = "c4b1d27e-58f0-4e93-9a6d-0f7e2b3c8d15"
	MerchantKey  = "MERCHANTKEY5E8A91C3D7F04B26D0B9D2C7E4F61"
)

// New makes an installation in a folder of the test's own.
func New(t testing.TB, binary string) *Install {
	t.Helper()
	dir, err := os.MkdirTemp("", "agogo-install-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return &Install{Binary: binary, Dir: dir}
}

// Remove removes an installation's folder. A Postgres whose dev was killed ends by itself and may still be writing its last
// files, hence the patience.
func Remove(dir string) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	err := os.RemoveAll(dir)
	for tries := 0; err != nil && tries < 400; tries++ {
		<-again.C
		err = os.RemoveAll(dir)
	}
	return err
}

// WithSimulator starts a simulator that outlives dev, with its book in a file.
func (in *Install) WithSimulator(t testing.TB) {
	t.Helper()
	sim := start(t, in.Binary, in.environment(nil), "simulator", "--addr", "127.0.0.1:0", "--book", filepath.Join(in.Dir, "book.jsonl"))
	sim.AwaitReady(t)
	if in.Simulator = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(sim.Output()); in.Simulator == "" {
		t.Fatalf("the simulator does not say where it listens:\n%s", sim.Output())
	}
}

// UseConfig makes text the tenants file. The simulator's default address in it becomes that of the simulator beside dev.
func (in *Install) UseConfig(t testing.TB, text string) {
	t.Helper()
	if in.Simulator != "" {
		text = strings.ReplaceAll(text, "http://127.0.0.1:9900", in.Simulator)
	}
	in.Config = filepath.Join(in.Dir, "tenants.yaml")
	if err := os.WriteFile(in.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// DataDir is what dev is given as --data-dir.
func (in *Install) DataDir() string { return filepath.Join(in.Dir, "data") }

// environment is what every process of the installation gets; extra comes last and so wins.
func (in *Install) environment(extra []string) []string {
	return slices.Concat(cleanEnv(), []string{
		"XDG_DATA_HOME=" + in.Dir, "AGOGO_CONTEXT=" + filepath.Join(in.DataDir(), "dev.json"),
		"ORANGE_CLIENT_ID=" + ClientID, "ORANGE_CLIENT_SECRET=" + ClientSecret, "ORANGE_POS_ID=" + PosID, "ORANGE_CALLBACK_AUTH=" + CallbackAuth,
		"CIELO_MERCHANT_ID=" + MerchantID, "CIELO_MERCHANT_KEY=" + MerchantKey,
	}, in.Env, extra)
}

func (in *Install) devArgs(args []string) []string {
	all := []string{"dev", "--data-dir", in.DataDir()}
	if !slices.Contains(args, "--ports") {
		all = append(all, "--ports", "free")
	}
	if in.Config != "" {
		all = append(all, "--config", in.Config)
	}
	if in.Simulator != "" {
		all = append(all, "--no-simulator")
	}
	return append(all, args...)
}

// Dev starts `agogo dev` and waits until it is ready. It ends with the test.
func (in *Install) Dev(t testing.TB, args ...string) *Process {
	t.Helper()
	p := in.Start(t, nil, in.devArgs(args)...)
	p.AwaitReady(t)
	return p
}

// DevWith is Dev with more environment, and without waiting.
func (in *Install) DevWith(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	return in.Start(t, env, in.devArgs(args)...)
}

// Launch is Dev for a process that outlives the test; the caller ends it with [Process.Kill].
func (in *Install) Launch(args ...string) (*Process, error) {
	return launch(in.Binary, in.environment(nil), in.devArgs(args)...)
}

// Start starts any command of agogo as a process that ends with the test.
func (in *Install) Start(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	return start(t, in.Binary, in.environment(env), args...)
}

// Result is what a command came to.
type Result struct {
	Out, Err string
	Code     int
}

// String shows everything, for failures.
func (r Result) String() string { return r.Out + r.Err }

// Try runs a command to its end.
func (in *Install) Try(t testing.TB, args ...string) Result {
	t.Helper()
	return in.TryWith(t, nil, nil, args...)
}

// TryWith runs a command with more environment and a standard input; either may be nil.
func (in *Install) TryWith(t testing.TB, env []string, stdin io.Reader, args ...string) Result {
	t.Helper()
	if in.Tenant != "" && !slices.Contains(args, "--tenant") && args[0] != "dev" && !strings.HasPrefix(args[0], "-") {
		args = append(args[:len(args):len(args)], "--tenant", in.Tenant)
	}
	cmd := exec.Command(in.Binary, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = in.environment(env), stdin, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("agogo %s: %v", strings.Join(args, " "), err)
	}
	return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// CLI runs a command that must succeed, and returns its standard output.
func (in *Install) CLI(t testing.TB, args ...string) string {
	t.Helper()
	r := in.Try(t, args...)
	if r.Code != 0 {
		t.Fatalf("agogo %s: exit %d\n%s", strings.Join(args, " "), r.Code, r)
	}
	return r.Out
}
