package pgserver

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The package's layout: everything lies in native, and links, which npm cannot pack, are listed in a file.
const (
	packedRoot = "package/native/"
	linkList   = "pg-symlinks.json"
)

// unpack writes the package's native folder to dir.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	// A root confines every path, whatever names the archive gives.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return errors.Join(makeLinks(root), openUp(dir))
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(h.Name, packedRoot)
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, name, h.FileInfo().Mode(), t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func unpackFile(root *os.Root, name string, mode os.FileMode, from io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644|mode&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}

func makeLinks(root *os.Root) error {
	f, err := root.Open(linkList)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var links []struct{ Source, Target string }
	if err := json.NewDecoder(f).Decode(&links); err != nil {
		return fmt.Errorf("%s: %w", linkList, err)
	}
	for _, l := range links {
		source, target := strings.TrimPrefix(l.Source, "native/"), strings.TrimPrefix(l.Target, "native/")
		rel, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil || !filepath.IsLocal(source) {
			return fmt.Errorf("%s: link to %s", linkList, l.Source)
		}
		if err := root.Symlink(rel, target); err != nil {
			return err
		}
	}
	return nil
}

// openUp lets everybody read and run the programs, whatever our umask: the child may be another user.
func openUp(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if d.IsDir() || fi.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
}
