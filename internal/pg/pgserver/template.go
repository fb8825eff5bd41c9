package pgserver

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fromTemplate copies a kept cluster; false: there is none.
func fromTemplate(template, dir, pwFile string, user *syscall.Credential) (bool, error) {
	if template == "" {
		return false, nil
	}
	if _, err := os.Stat(filepath.Join(template, "pgdata", "PG_VERSION")); err != nil {
		return false, nil //nolint:nilerr // missing or unreadable: make one
	}
	if err := copyFile(filepath.Join(template, "password"), pwFile); err != nil {
		return false, err
	}
	return true, copyTree(filepath.Join(template, "pgdata"), dir, user)
}

// toTemplate keeps a new cluster. Processes may do it at once: each writes its own copy and the first rename wins.
func toTemplate(template, dir, pwFile string) error {
	if err := os.MkdirAll(filepath.Dir(template), 0o700); err != nil {
		return err
	}
	own, err := os.MkdirTemp(filepath.Dir(template), "making-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(own) }()
	err = errors.Join(copyTree(dir, filepath.Join(own, "pgdata"), nil), copyFile(pwFile, filepath.Join(own, "password")))
	if err != nil {
		return err
	}
	if err := os.Rename(own, template); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil
}

// copyTree copies folders and plain files, which is all a stopped cluster has, and gives them to user.
func copyTree(from, to string, user *syscall.Credential) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			err = copyFile(path, target)
		}
		if err != nil {
			return err
		}
		return give(target, user)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// TemplateDir is where tests of this user keep a new cluster of the Postgres that [Find] finds, for [Options].Template.
func TemplateDir(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	v := "downloaded"
	if bin, err := Find(ctx, 0); err == nil {
		if v, err = version(ctx, bin); err != nil {
			return "", err
		}
	} else if !errors.Is(err, errNotFound) {
		return "", err
	}
	return filepath.Join(cache, "agogo", "pgtest", "cluster-1-"+v), nil // the 1 rises when initdb's arguments change
}
