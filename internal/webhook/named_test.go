package webhook_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/webhook"
)

func TestByProviderID(t *testing.T) {
	t.Parallel()
	names := func(_ context.Context, _ pgx.Tx, tenant, provider string, ids []string) (map[string]string, error) {
		if tenant != "wallclub" || provider != "cielo" || !cmp.Equal(ids, []string{"id-1", "ref-2", "id-3"}) {
			t.Errorf("asked for %v of %s/%s", ids, tenant, provider)
		}
		return map[string]string{"id-1": "ref-1"}, nil
	}
	match := func(_ context.Context, _ pgx.Tx, _, _ string, notices []webhook.Notice) (map[string]webhook.Fate, error) {
		var seen []string
		for _, n := range notices {
			seen = append(seen, n.Reference)
		}
		if d := cmp.Diff([]string{"ref-1", "ref-2", "id-3"}, seen); d != "" {
			t.Error(d)
		}
		return map[string]webhook.Fate{"ref-1": webhook.Asked, "ref-2": webhook.Known}, nil
	}
	notices := []webhook.Notice{{Reference: "id-1"}, {Reference: "ref-2"}, {Reference: "id-3"}}
	got, err := webhook.ByProviderID(names, match)(t.Context(), nil, "wallclub", "cielo", notices)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]webhook.Fate{"id-1": webhook.Asked, "ref-2": webhook.Known}, got); d != "" {
		t.Error(d)
	}
	if notices[0].Reference != "id-1" {
		t.Error("the caller's notices were changed")
	}
}

func TestByProviderIDPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	names := func(context.Context, pgx.Tx, string, string, []string) (map[string]string, error) { return nil, broken }
	match := func(context.Context, pgx.Tx, string, string, []webhook.Notice) (map[string]webhook.Fate, error) {
		t.Error("matched without names")
		return nil, nil
	}
	if _, err := webhook.ByProviderID(names, match)(t.Context(), nil, "t", "p", nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
