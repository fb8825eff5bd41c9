package config

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the messages of testdata/refused anew; read the difference before you keep it")

// poorEnv knows few variables, and some of them wrongly.
func poorEnv(name string) string {
	return map[string]string{
		"A": "a", "POS": "p", "MULTILINE": "hunter2\nhunter2", "SHORT": "hunter2", "TOKEN": "0123456789abcdef0123456789abcdef",
		"OTHER_TOKEN": "fedcba9876543210fedcba9876543210", "KEY40": "0123456789012345678901234567890123456789",
		"WAVE_TEST": "wave_ci_test_hunter2",
	}[name]
}

// TestRefused compares every message for every bad file with the one that was agreed to be good.
func TestRefused(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/refused/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			f, err := Load(path, poorEnv)
			if err == nil || f != nil {
				t.Fatalf("Load gave %v and error %v", f, err)
			}
			got := err.Error() + "\n"
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is in a message:\n%s", got)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("messages (-want +got):\n%s", d)
			}
		})
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"testdata/none.yaml": "tenants file: open testdata/none.yaml: no such file or directory",
		"testdata":           "tenants file: testdata is not a regular file",
		big:                  "tenants file: " + big + " is larger than 4194304 bytes",
	} {
		if _, err := Load(path, poorEnv); err == nil || err.Error() != want {
			t.Errorf("Load(%s): %v, want %s", path, err, want)
		}
	}
}

// TestKeysOfAnotherKind gives the loader a kind of its own, so that the message does not change with every new adapter.
func TestKeysOfAnotherKind(t *testing.T) {
	t.Parallel()
	l := &loader{path: "f.yaml", getenv: poorEnv, readFile: readSecret, kinds: map[string]kind{
		"orange_omr": providerKinds["orange_omr"],
		"wave": {
			fields:   func(l *loader, p *Provider) []field { return []field{required("api_key", l.secret(&p.ClientSecret))} },
			defaults: func(*Provider) {},
		},
	}}
	_, err := l.load([]byte(`tenants:
  - id: t
    timezone: UTC
    currency: XOF
    locale: fr
    mode: sandbox
    providers:
      w:
        kind: wave
        base_url: http://h
        api_key: ${A}
        client_secret: ${A}
`))
	want := "f.yaml:12: tenants[t].providers.w.client_secret: is a key of kind orange_omr and this is wave: remove it"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"commission_bps", "minimum", "cron", "id"}
	for in, want := range map[string]string{
		"commissions_bp": "commission_bps", "minimun": "minimum", "corn": "cron", "ID": "", "xx": "", "": "",
		strings.Repeat("c", 1000): "", "commissionbps": "commission_bps",
	} {
		if got := nearest(in, names); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", in, got, want)
		}
	}
}

// TestDocumented keeps docs/config.md in step: every key that the loader knows has a row there, and no row is of a key
// that it does not know.
func TestDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{path: "testdata/everything.yaml", getenv: sandboxEnv, readFile: readSecret, kinds: providerKinds, known: map[string]bool{}}
	if _, err := l.load(data); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.SplitSeq(string(doc), "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 7 && strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			documented[strings.Trim(strings.TrimSpace(cells[1]), "`")] = true
			if slices.ContainsFunc(cells[2:6], func(c string) bool { return strings.TrimSpace(c) == "" }) {
				t.Errorf("docs/config.md leaves a cell empty: %s", line)
			}
		}
	}
	if d := cmp.Diff(l.known, documented); d != "" {
		t.Errorf("docs/config.md is not in step (-known +documented):\n%s", d)
	}
}

// FuzzLoad feeds any bytes: they are loaded or refused with a message, and never panic, reach for files or leak.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "testdata/everything.yaml", "../../examples/tenants.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		noFiles := func(string) ([]byte, error) { return nil, os.ErrNotExist }
		l := &loader{path: "f.yaml", getenv: poorEnv, readFile: noFiles, kinds: providerKinds}
		file, err := l.load(data)
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v and error %v", file, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Fatalf("the message does not name the file: %v", err)
		}
		if file != nil && len(file.Tenants) == 0 {
			t.Fatal("loaded without a tenant")
		}
	})
}
