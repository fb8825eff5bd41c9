package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is the user that every image runs as, by number: Kubernetes checks that it is not root.
const nobody = "65532:65532"

// binary is a program built for one platform.
type binary struct {
	path     string
	platform v1.Platform
}

// build builds a static program whose bytes follow from the source alone: no paths, no times, no state of the checkout.
func build(ctx context.Context, o options, pkg, dir string, p v1.Platform) (binary, error) {
	b := binary{platform: p}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return b, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return b, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+o.version, "-o", dir+"/", pkg)
	cmd.Dir = o.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly", "GOOS="+p.OS, "GOARCH="+p.Architecture, "GOAMD64=v1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("go build %s for %s: %w\n%s", pkg, p, err, out)
	}
	built, err := os.ReadDir(dir)
	if err != nil || len(built) != 1 {
		return b, fmt.Errorf("go build %s made %d files: %w", pkg, len(built), err)
	}
	b.path = filepath.Join(dir, built[0].Name())
	return b, nil
}

// indexOf makes an image for each platform and the index that names them.
func indexOf(o options, image string, binaries []binary) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(v1.ImageIndex(empty.Index), types.OCIImageIndex)
	base, err := baseLayer(o)
	if err != nil {
		return nil, err
	}
	for _, b := range binaries {
		img, err := imageOf(o, image, b, base)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: b.platform.OS, Architecture: b.platform.Architecture}}})
	}
	return index, nil
}

func imageOf(o options, image string, b binary, base v1.Layer) (v1.Image, error) {
	raw, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	entry := "/usr/local/bin/" + filepath.Base(b.path)
	program, err := layerOf(o, []file{{entry, raw, 0o755}})
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, base, program); err != nil {
		return nil, err
	}
	created := v1.Time{Time: o.at}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: b.platform.OS, Architecture: b.platform.Architecture, Created: created,
		RootFS: rootFS(img), History: []v1.History{{Created: created, CreatedBy: "authorities, users"}, {Created: created, CreatedBy: filepath.Base(b.path)}},
		Config: v1.Config{
			User: nobody, WorkingDir: "/", Entrypoint: []string{entry},
			Env:    []string{"PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
			Labels: labels(o, image),
		},
	})
	return img, err
}

func rootFS(img v1.Image) v1.RootFS {
	c, err := img.ConfigFile()
	if err != nil {
		return v1.RootFS{}
	}
	return c.RootFS
}

func labels(o options, image string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title": image, "org.opencontainers.image.version": o.version, "org.opencontainers.image.revision": o.revision(),
		"org.opencontainers.image.source": "https://github.com/agogopay/agogo", "org.opencontainers.image.licenses": "Apache-2.0",
	}
}

// file is a file of a layer.
type file struct {
	path    string
	content []byte
	mode    fs.FileMode
}

// baseLayer holds what a program expects of any machine. Time zones are inside the programs.
func baseLayer(o options) (v1.Layer, error) {
	var roots bytes.Buffer
	for r := range bundle.Roots() {
		if r.Constraint != nil {
			continue // trusted with conditions that a file cannot say
		}
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate}); err != nil {
			return nil, err
		}
	}
	id, _, _ := strings.Cut(nobody, ":")
	return layerOf(o, []file{
		{"/etc/group", []byte("root:x:0:\nagogo:x:" + id + ":\n"), 0o644},
		{"/etc/passwd", []byte("root:x:0:0:root:/:/sbin/nologin\nagogo:x:" + id + ":" + id + ":agogo:/:/sbin/nologin\n"), 0o644},
		{"/etc/ssl/certs/ca-certificates.crt", roots.Bytes(), 0o644},
	})
}

// layerOf makes a layer in which nothing but its content can differ: order, owners and times are fixed.
func layerOf(o options, files []file) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	seen := map[string]bool{}
	for _, f := range files {
		if err := folders(w, o, path.Dir(f.path), seen); err != nil {
			return nil, err
		}
		h := &tar.Header{Name: strings.TrimPrefix(f.path, "/"), Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: o.at, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

func folders(w *tar.Writer, o options, dir string, seen map[string]bool) error {
	if dir == "/" || seen[dir] {
		return nil
	}
	if err := folders(w, o, path.Dir(dir), seen); err != nil {
		return err
	}
	seen[dir] = true
	return w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755, ModTime: o.at, Typeflag: tar.TypeDir, Format: tar.FormatPAX})
}

// write leaves an OCI layout and the same as one file, which engines load, and returns the digest of the index.
func write(o options, dir, image string, index v1.ImageIndex) (v1.Hash, error) {
	to := filepath.Join(dir, "oci")
	p, err := layout.Write(to, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	names := map[string]string{"org.opencontainers.image.ref.name": o.version, "io.containerd.image.name": fullName(o.repo + "/" + image + ":" + o.version)}
	if err := p.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return v1.Hash{}, err
	}
	if err := archive(o, to, filepath.Join(dir, image+".tar")); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// fullName is the name with the registry that engines take one without for: the first part is a registry when it has a dot, a port,
// or is localhost.
func fullName(name string) string {
	first, _, _ := strings.Cut(name, "/")
	if first == "localhost" || strings.ContainsAny(first, ".:") {
		return name
	}
	return "docker.io/" + name
}

// archive writes a folder as a tar file, in the order of names.
func archive(o options, from, to string) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(raw)), ModTime: o.at, Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	})
	if err != nil {
		_ = out.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}
