package renewal

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Print is a digest of what files hold, so that a change shows. Of a folder it takes the files directly in it: that is the shape
// in which Kubernetes mounts Secrets and ConfigMaps, whose own links begin with two dots and are passed over.
type Print [sha256.Size]byte

// Take reads the files. An error says what could not be read, such as a folder that is being exchanged just then.
func Take(paths []string) (Print, error) {
	sum := sha256.New()
	for _, path := range paths {
		files, err := filesOf(path)
		if err != nil {
			return Print{}, err
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				return Print{}, err
			}
			add(sum, []byte(f))
			add(sum, content)
		}
	}
	return Print(sum.Sum(nil)), nil
}

// add writes the length too, so that what moves from one file to the next is a change.
func add(w io.Writer, b []byte) {
	_, _ = w.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b)))) // a digest takes everything
	_, _ = w.Write(b)
}

func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path) // by name
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		info, err := os.Stat(name) // what a link leads to
		switch {
		case strings.HasPrefix(e.Name(), ".."):
		case err != nil:
			return nil, err
		case info.Mode().IsRegular():
			files = append(files, name)
		}
	}
	return files, nil
}

// Overlay is an environment in which files take the place of variables of their name: those of the folders among paths, the
// last of which counts, as in a container's envFrom. Where a Secret is both a process's environment and a folder, the folder has
// what the process would find if it were started now.
func Overlay(paths []string, getenv func(string) string) func(string) string {
	return func(name string) string {
		for _, path := range slices.Backward(paths) {
			content, err := os.ReadFile(filepath.Join(path, name))
			if err == nil {
				return string(content)
			}
		}
		return getenv(name)
	}
}
