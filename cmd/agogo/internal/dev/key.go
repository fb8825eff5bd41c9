package dev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/daybook"
)

// signingKey gives a tenants file that names none a key to sign reports with, made once per data directory: reports of earlier
// starts stay verifiable.
func signingKey(dir string, file *config.File) error {
	if file.Reports.SigningKey != nil {
		return nil
	}
	path := filepath.Join(dir, "report-key.pem")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, text, err = daybook.NewKey(); err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if file.Reports.SigningKey, err = daybook.ParseKey(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
