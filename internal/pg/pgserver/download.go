package pgserver

import (
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The release to download. Programs from the network run only if they are the ones this list was made with: each package
// carries the SHA-512 that the registry published.
const (
	releaseMajor   = 17
	releaseVersion = "17.10.0-beta.17"
	releaseLimit   = 200 << 20
)

type release struct{ name, sha512 string }

func releases() map[string]release {
	return map[string]release{
		"linux/amd64":  {"linux-x64", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="},
		"linux/arm64":  {"linux-arm64", "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=="},
		"darwin/amd64": {"darwin-x64", "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg=="},
		"darwin/arm64": {"darwin-arm64", "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ=="},
	}
}

// download fetches Postgres' programs into a cache folder unless they are there, and returns the folder of the programs.
func download(ctx context.Context, o Options, major int) (string, error) {
	if major != 0 && major != releaseMajor {
		return "", fmt.Errorf("the data directory was made by Postgres %d, and only %d can be downloaded", major, releaseMajor)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	r, ok := releases()[platform]
	if !ok {
		return "", fmt.Errorf("no Postgres to download for %s", platform)
	}
	progress := o.Progress
	if progress == nil {
		progress = io.Discard
	}
	bin, err := fetchFrom(ctx, r, cache, progress)
	if err != nil {
		return "", fmt.Errorf("download Postgres %s: %w", releaseVersion, err)
	}
	return bin, nil
}

func fetchFrom(ctx context.Context, r release, cache string, progress io.Writer) (string, error) {
	from, err := registry(ctx)
	if err != nil {
		return "", err
	}
	return fetch(ctx, from, r, cache, progress)
}

// registry is where this machine gets packages from, by npm's own settings: where to download from is its owner's to say.
func registry(ctx context.Context) (string, error) {
	if url := cmp.Or(os.Getenv("NPM_CONFIG_REGISTRY"), os.Getenv("npm_config_registry")); url != "" {
		return url, nil
	}
	out, err := exec.CommandContext(ctx, "npm", "config", "get", "registry").Output()
	url := strings.TrimSpace(string(out))
	if err != nil || !strings.HasPrefix(url, "http") {
		return "", errors.New("no package registry is known: set NPM_CONFIG_REGISTRY to one, or install npm")
	}
	return url, nil
}

// cacheDir is shared by all data directories. Root's own cache could not be reached by the user who runs the child.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/agogo", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "agogo"), err
}

func fetch(ctx context.Context, registry string, r release, cache string, progress io.Writer) (string, error) {
	home := filepath.Join(cache, "postgres-"+releaseVersion+"-"+r.name)
	bin := filepath.Join(home, "bin")
	if executable(filepath.Join(bin, "postgres")) {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, "downloading-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	archive := filepath.Join(tmp, "package.tgz")
	if err := fetchArchive(ctx, registry, r, archive, progress); err != nil {
		return "", err
	}
	whole := filepath.Join(tmp, "postgres")
	if err := unpack(archive, whole); err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	// Another process may have been as far at the same moment; both are equal.
	if err := os.Rename(whole, home); err != nil && !executable(filepath.Join(bin, "postgres")) {
		return "", err
	}
	return bin, nil
}

// fetchArchive stores the package and refuses one that is not what we expect, before anything of it is looked at.
func fetchArchive(ctx context.Context, registry string, r release, file string, progress io.Writer) error {
	url := fmt.Sprintf("%s/@embedded-postgres/%s/-/%s-%s.tgz", trimSlash(registry), r.name, r.name, releaseVersion)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	sum := sha512.New()
	meter := &meter{w: progress, total: resp.ContentLength}
	n, err := io.Copy(io.MultiWriter(f, sum, meter), io.LimitReader(resp.Body, releaseLimit))
	meter.end()
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s after %d bytes: %w", url, n, err)
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != r.sha512 {
		return fmt.Errorf("%s is not the package this version of Agogo was tested with (sha512 %s)", url, got)
	}
	return nil
}

func trimSlash(s string) string {
	for len(s) > 0 && s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return s
}

// meter keeps one line of a terminal up to date.
type meter struct {
	w           io.Writer
	done, total int64
	shown       int64
}

func (m *meter) Write(b []byte) (int, error) {
	m.done += int64(len(b))
	if m.shown == 0 || m.done-m.shown >= 1<<20 {
		m.shown = m.done
		m.show()
	}
	return len(b), nil
}

// show does not mind a terminal that is gone: the download matters.
func (m *meter) show() {
	line := fmt.Sprintf("\rDownloading Postgres %d: %d MB", releaseMajor, m.done>>20)
	if m.total > 0 {
		line = fmt.Sprintf("\rDownloading Postgres %d: %d of %d MB", releaseMajor, m.done>>20, m.total>>20)
	}
	_, _ = io.WriteString(m.w, line)
}

func (m *meter) end() {
	if m.done > 0 {
		m.show()
		_, _ = io.WriteString(m.w, "\n")
	}
}
