package main

import (
	"archive/tar"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// source is a module of its own in a folder of its own, with the same content.
func source(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":            "module example.com/greeter\n\ngo 1.26.0\n",
		"cmd/hello/main.go": "package main\n\nimport \"net/http\"\n\nvar version string\n\nfunc main() { println(version, http.StatusOK) }\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func made(t *testing.T, extra ...string) (dir string) {
	t.Helper()
	out := t.TempDir()
	args := append([]string{"-root", source(t), "-out", out, "-version", "v1.2.3", "-commit", "abc", "-epoch", "1700000000"}, extra...)
	if err := run(t.Context(), append(args, "hello=./cmd/hello")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(out, "hello")
}

func index(t *testing.T, dir string) (v1.ImageIndex, *v1.IndexManifest) {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(filepath.Join(dir, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	top, err := outer.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%v: %+v", err, top)
	}
	if top.Manifests[0].Annotations["io.containerd.image.name"] != "docker.io/agogopay/hello:v1.2.3" {
		t.Errorf("names: %v", top.Manifests[0].Annotations)
	}
	inner, err := outer.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return inner, m
}

func TestNamesHaveTheirRegistry(t *testing.T) {
	for name, want := range map[string]string{
		"agogopay/pay:v1":        "docker.io/agogopay/pay:v1",
		"localhost/pay:v1":       "localhost/pay:v1",
		"localhost:5000/pay:v1":  "localhost:5000/pay:v1",
		"images.example/x/y:v1":  "images.example/x/y:v1",
		"localhosts/payouts:1.0": "docker.io/localhosts/payouts:1.0",
	} {
		if got := fullName(name); got != want {
			t.Errorf("%s is named %s, want %s", name, got, want)
		}
	}
}

func TestTheSameSourceMakesTheSameBytes(t *testing.T) {
	first, second := made(t), made(t)
	for _, name := range []string{"hello.tar", "hello.spdx.json", "hello.provenance.json"} {
		a, errA := os.ReadFile(filepath.Join(first, name))
		b, errB := os.ReadFile(filepath.Join(second, name))
		if err := errors.Join(errA, errB); err != nil || string(a) != string(b) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
	if other := made(t, "-version", "v1.2.4"); same(t, first, other) {
		t.Error("another version made the same bytes: the comparison shows nothing")
	}
}

func same(t *testing.T, a, b string) bool {
	t.Helper()
	x, errX := os.ReadFile(filepath.Join(a, "hello.tar"))
	y, errY := os.ReadFile(filepath.Join(b, "hello.tar"))
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

func TestAnImageIsStaticAndNotRootsForEachPlatform(t *testing.T) {
	dir := made(t)
	all, m := index(t, dir)
	if len(m.Manifests) != 2 {
		t.Fatalf("%d platforms", len(m.Manifests))
	}
	for _, d := range m.Manifests {
		img, err := all.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if c.Architecture != d.Platform.Architecture || c.Config.User != "65532:65532" || c.Config.Entrypoint[0] != "/usr/local/bin/hello" || c.Config.Labels["org.opencontainers.image.revision"] != "abc" {
			t.Errorf("config %+v", c)
		}
		files := contents(t, img)
		if !strings.Contains(files["etc/ssl/certs/ca-certificates.crt"], "BEGIN CERTIFICATE") || !strings.Contains(files["etc/passwd"], ":65532:65532:") {
			t.Errorf("files: %d authorities", strings.Count(files["etc/ssl/certs/ca-certificates.crt"], "BEGIN"))
		}
		checkStatic(t, files["usr/local/bin/hello"], d.Platform.Architecture)
	}
}

func contents(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for entries := tar.NewReader(r); ; {
			h, err := entries.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.ModTime.Unix() != 1700000000 || h.Mode&0o022 != 0 {
				t.Errorf("%s: owner %d, time %s, mode %o", h.Name, h.Uid, h.ModTime, h.Mode)
			}
			raw, err := io.ReadAll(entries)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = string(raw)
		}
	}
	return files
}

func checkStatic(t *testing.T, program, architecture string) {
	t.Helper()
	f, err := elf.NewFile(strings.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[architecture]
	if f.Machine != want || f.Section(".interp") != nil {
		t.Errorf("%s for %s, interpreter %v", f.Machine, architecture, f.Section(".interp"))
	}
}

func TestBillAndProvenanceNameTheImage(t *testing.T) {
	dir := made(t)
	all, _ := index(t, dir)
	digest, err := all.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hello.spdx.json", "hello.provenance.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(raw) || !strings.Contains(string(raw), digest.Hex) || strings.Contains(string(raw), dir) {
			t.Errorf("%s:\n%s", name, raw)
		}
	}
}

func TestPushToARegistry(t *testing.T) {
	s := httptest.NewServer(registry.New())
	defer s.Close()
	repo := strings.TrimPrefix(s.URL, "http://") + "/pay"
	out := t.TempDir()
	if err := run(t.Context(), []string{"-root", source(t), "-out", out, "-repo", repo, "-version", "v1", "-platforms", "linux/amd64", "-push", "hello=./cmd/hello"}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(repo + "/hello:v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Index(ref); err != nil {
		t.Error(err)
	}
}

// A checkout with changes is not its commit, and whoever reads the provenance must not be told that it is.
func TestADirtyCheckoutIsNotItsCommit(t *testing.T) {
	for dirty, want := range map[bool]string{false: `"gitCommit": "abc"`, true: `"changedAfterCommit": "abc"`} {
		dir := made(t, "-platforms", "linux/amd64", "-dirty="+strconv.FormatBool(dirty))
		raw, err := os.ReadFile(filepath.Join(dir, "hello.provenance.json"))
		if err != nil || !strings.Contains(string(raw), want) || strings.Contains(string(raw), "gitCommit") == dirty {
			t.Errorf("dirty %t: %v\n%s", dirty, err, raw)
		}
	}
	err := run(t.Context(), []string{"-dirty", "-push", "-platforms", "linux/amd64"})
	if err == nil || !strings.Contains(err.Error(), "commit them") {
		t.Errorf("pushing what is in no commit: %v", err)
	}
}
