package pgserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type packed struct {
	name, body string
	mode       int64
}

func pack(t *testing.T, files ...packed) ([]byte, release) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(b.Bytes())
	return b.Bytes(), release{name: "test-x64", sha512: base64.StdEncoding.EncodeToString(sum[:])}
}

// serve is a registry with one package; it counts the requests.
func serve(t *testing.T, body []byte) (url string, requests *int) {
	t.Helper()
	requests = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests++
		if r.URL.Path != fmt.Sprintf("/@embedded-postgres/test-x64/-/test-x64-%s.tgz", releaseVersion) {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func TestFetchUnpacksOnceAndMakesLinks(t *testing.T) {
	t.Parallel()
	body, r := pack(t,
		packed{"package/native/bin/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 17.10'\n", 0o755},
		packed{"package/native/lib/libpq.so.5.17", "library", 0o644},
		packed{"package/native/pg-symlinks.json", `[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"}]`, 0o644},
		packed{"package/README.md", "not ours", 0o644})
	url, requests := serve(t, body)
	cache := filepath.Join(t.TempDir(), "cache")
	var progress bytes.Buffer
	for range 2 {
		bin, err := fetch(t.Context(), url+"/", r, cache, &progress)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := version(t.Context(), bin); v != "17.10" || err != nil {
			t.Errorf("version %q, %v", v, err)
		}
		lib, err := os.ReadFile(filepath.Join(filepath.Dir(bin), "lib", "libpq.so.5"))
		if string(lib) != "library" || err != nil {
			t.Errorf("link leads to %q, %v", lib, err)
		}
		for name, want := range map[string]os.FileMode{"bin": 0o755, "bin/postgres": 0o755, "lib/libpq.so.5.17": 0o644} {
			if fi, err := os.Stat(filepath.Join(filepath.Dir(bin), name)); err != nil || fi.Mode().Perm() != want {
				t.Errorf("%s: %v, %v; want %v", name, fi.Mode().Perm(), err, want)
			}
		}
	}
	if *requests != 1 {
		t.Errorf("%d downloads", *requests)
	}
	if !strings.Contains(progress.String(), "Downloading Postgres 17: ") || !strings.HasSuffix(progress.String(), "\n") {
		t.Errorf("progress %q", progress.String())
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "downloading-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchRefusesAnotherPackage(t *testing.T) {
	t.Parallel()
	body, r := pack(t, packed{"package/native/bin/postgres", "#!/bin/sh\n", 0o755})
	evil := append([]byte(nil), body...)
	evil[len(evil)-1] ^= 1
	url, _ := serve(t, evil)
	cache := t.TempDir()
	if _, err := fetch(t.Context(), url, r, cache, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "sha512") {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(cache); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchSaysWhatTheRegistryAnswers(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, nil)
	_, err := fetch(t.Context(), url, release{name: "unknown"}, t.TempDir(), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestUnpackStaysInItsFolder(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]packed{
		"path":   {{"package/native/../../../escaped", "x", 0o644}},
		"link":   {{"package/native/pg-symlinks.json", `[{"source":"native/../../../../etc/passwd","target":"native/x"}]`, 0o644}},
		"target": {{"package/native/pg-symlinks.json", `[{"source":"native/x","target":"native/../../escaped"}]`, 0o644}},
	} {
		body, r := pack(t, files...)
		url, _ := serve(t, body)
		cache := filepath.Join(t.TempDir(), "a", "b")
		if bin, err := fetch(t.Context(), url, r, cache, &bytes.Buffer{}); err == nil {
			t.Errorf("%s: unpacked to %s", name, bin)
		}
		if left, _ := filepath.Glob(filepath.Join(cache, "..", "..", "*", "escaped")); len(left) != 0 {
			t.Errorf("%s: wrote %v", name, left)
		}
	}
}

func TestOnlyTheReleasedMajorIsDownloaded(t *testing.T) {
	t.Parallel()
	if _, err := download(t.Context(), Options{}, 15); err == nil || !strings.Contains(err.Error(), "only 17") {
		t.Errorf("error %v", err)
	}
}

// Where to download from is said by npm's variable, then by npm; without either there is an error that says what to do.
func TestTheRegistryIsTheMachines(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv("npm_config_registry", "")
	t.Setenv("NPM_CONFIG_REGISTRY", "")
	if from, err := registry(t.Context()); err == nil || !strings.Contains(err.Error(), "NPM_CONFIG_REGISTRY") {
		t.Errorf("without npm: %q, %v", from, err)
	}
	for said, want := range map[string]string{"http://127.0.0.1:4873/": "http://127.0.0.1:4873/", "undefined": ""} {
		script := "#!/bin/sh\n[ \"$*\" = 'config get registry' ] && echo " + said + "\n"
		if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil { //nolint:gosec // a program must be executable
			t.Fatal(err)
		}
		if from, err := registry(t.Context()); from != want || (err != nil) != (want == "") {
			t.Errorf("npm says %s: %q, %v", said, from, err)
		}
	}
	t.Setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:4874")
	if from, err := registry(t.Context()); from != "http://127.0.0.1:4874" || err != nil {
		t.Errorf("%q, %v", from, err)
	}
}
