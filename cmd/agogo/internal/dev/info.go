package dev

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Info is dev.json, and what people write by the same pattern for an installation of separate processes: where everything is
// and how to be let in. Its file is readable by its owner only.
type Info struct {
	Version     int               `json:"version"`
	GRPC        map[string]string `json:"grpc"`
	GRPCCA      string            `json:"grpc_ca,omitempty"` // path of the authorities to trust; "system" is the machine's own, "" plaintext
	HTTP        map[string]string `json:"http"`
	NATS        NATS              `json:"nats"`
	PostgresDSN string            `json:"postgres_dsn"`
	Simulator   string            `json:"simulator"`
	Console     string            `json:"console"`
	Tokens      map[string]string `json:"tokens"`
	Tenants     []string          `json:"tenants"`
	Modes       map[string]string `json:"modes"` // sandbox or live, by tenant
}

// NATS says how to connect.
type NATS struct {
	URL   string `json:"url"`
	Creds string `json:"creds"`
	CA    string `json:"ca,omitempty"` // path of the authorities to trust, where the connection is encrypted
}

// DefaultDataDir is where `agogo dev` keeps its data: $XDG_DATA_HOME/agogo, else ~/.local/share/agogo.
func DefaultDataDir(getenv func(string) string) (string, error) {
	if d := getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "agogo"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home directory to keep data in: give --data-dir (%w)", err)
	}
	return filepath.Join(home, ".local", "share", "agogo"), nil
}

// pointer is the file that names the dev.json of the dev started last, so that the CLI finds it by itself.
func pointer(getenv func(string) string) (string, error) {
	d, err := DefaultDataDir(getenv)
	return filepath.Join(d, "current"), err
}

// Current is the path of the dev.json of the dev started last.
func Current(getenv func(string) string) (string, error) {
	p, err := pointer(getenv)
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(p)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no Agogo runs here: start one with 'agogo dev', or set AGOGO_CONTEXT to the dev.json of one that does")
	}
	return strings.TrimSpace(string(raw)), err
}

// publish writes dev.json and points the CLI to it, unless it yields to another dev that is up; the returned function takes
// both away again.
func publish(dir string, info *Info, yields bool, getenv func(string) string) (func(), error) {
	path, err := filepath.Abs(filepath.Join(dir, "dev.json"))
	if err != nil {
		return nil, err
	}
	if err := writeJSON(path, info); err != nil {
		return nil, err
	}
	p, err := pointer(getenv)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return nil, err
	}
	if yields && liveElsewhere(p, path) {
		return func() { _ = os.Remove(path) }, nil
	}
	if err := os.WriteFile(p, []byte(path+"\n"), 0o600); err != nil {
		return nil, err
	}
	return func() {
		_ = os.Remove(path)
		if raw, err := os.ReadFile(p); err == nil && strings.TrimSpace(string(raw)) == path {
			_ = os.Remove(p)
		}
	}, nil
}

// liveElsewhere reports whether the pointer names another dev.json whose process still holds its data directory.
func liveElsewhere(pointer, own string) bool {
	raw, err := os.ReadFile(pointer)
	current := strings.TrimSpace(string(raw))
	if err != nil || current == own {
		return false
	}
	held, err := lock(filepath.Dir(current))
	if err != nil {
		return errors.Is(err, errLocked)
	}
	return held.Close() != nil
}

// secrets are made once per data directory, so that tokens stay valid over restarts.
type secrets struct {
	Tokens map[string]string `json:"tokens"`
	Roles  map[string]string `json:"roles"` // database passwords
}

func loadSecrets(dir string, tokens, services []string) (*secrets, error) {
	path := filepath.Join(dir, "secrets.json")
	s := &secrets{}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.Tokens, s.Roles = fill(s.Tokens, tokens), fill(s.Roles, services)
	return s, writeJSON(path, s)
}

// fill gives every name without a secret a random one.
func fill(m map[string]string, names []string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	for _, n := range names {
		if m[n] == "" {
			m[n] = rand.Text()
		}
	}
	return m
}

// writeJSON replaces the file at once, readable by its owner only.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
