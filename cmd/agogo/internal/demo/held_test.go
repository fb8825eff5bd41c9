package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

// Two stories that happen at once are told one after the other, each whole, and what goes wrong in either is heard.
func TestStoriesAreToldOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for _, failed := range []error{nil, errors.New("the second one went wrong")} {
		var told bytes.Buffer
		later := &held{to: &told}
		halfway := make(chan struct{})
		err := together(t.Context(), later, func(context.Context) error {
			fmt.Fprintln(&told, "first 1")
			<-halfway
			fmt.Fprintln(&told, "first 2")
			return nil
		}, func(context.Context) error {
			fmt.Fprintln(later, "second 1")
			close(halfway)
			fmt.Fprintln(later, "second 2")
			return failed
		})
		if want := "first 1\nfirst 2\nsecond 1\nsecond 2\n"; told.String() != want {
			t.Errorf("told\n%swant\n%s", told.String(), want)
		}
		if !errors.Is(err, failed) {
			t.Errorf("got %v, want %v", err, failed)
		}
	}
}
