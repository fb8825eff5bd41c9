package mtn

import (
	"context"
	"time"
)

// still is a clock that never moves.
type still struct{}

func (still) Now() time.Time { return time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC) }

func (still) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
