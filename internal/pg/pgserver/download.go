package pgserver

import (
	"context"
	"errors"
)

func download(ctx context.Context, o Options, major int) (string, error) {
	return "", errors.New("download")
}
