package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// Entry is a line of the provider's book: what really happened to a reference.
type Entry struct {
	Reference string `json:"reference"`
	Peer      string `json:"peer"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Status    string `json:"status"`
	Moved     int    `json:"moved"`
	Requests  int    `json:"requests"`
}

// Rule makes the simulator misbehave; docs/simulator.md lists the words.
type Rule map[string]any

// Simulated is the address of the simulator: the one beside dev, or dev's own.
func (in *Install) Simulated(t testing.TB) string {
	t.Helper()
	if in.Simulator != "" {
		return in.Simulator
	}
	return in.Info(t).Simulator
}

// Book is what the provider did, by its own account.
func (in *Install) Book(t testing.TB) []Entry {
	t.Helper()
	return in.book(t, "orange_omr")
}

// Orders is what the card gateway did, by its own account: one entry per order, whose Peer is the card's token.
func (in *Install) Orders(t testing.TB) []Entry {
	t.Helper()
	return in.book(t, "cielo")
}

func (in *Install) book(t testing.TB, provider string) []Entry {
	t.Helper()
	var book struct {
		Entries []Entry `json:"entries"`
	}
	in.Control(t, http.MethodGet, "/_control/book?provider="+provider, nil, &book)
	return book.Entries
}

// BookOf is what the provider did for one wallet.
func (in *Install) BookOf(t testing.TB, peer string) []Entry {
	t.Helper()
	var of []Entry
	for _, e := range in.Book(t) {
		if e.Peer == peer {
			of = append(of, e)
		}
	}
	return of
}

// Misbehave adds rules to what goes wrong at the simulated providers.
func (in *Install) Misbehave(t testing.TB, rules ...Rule) {
	t.Helper()
	for _, r := range rules {
		in.Control(t, http.MethodPost, "/_control/rules", r, nil)
	}
}

// Calls counts the calls of a simulated operation by what came of them.
func (in *Install) Calls(t testing.TB, operation string) map[string]int {
	t.Helper()
	var all struct {
		Calls []struct {
			Operation string `json:"operation"`
			Outcome   string `json:"outcome"`
			Calls     int    `json:"calls"`
		} `json:"calls"`
	}
	in.Control(t, http.MethodGet, "/_control/calls", nil, &all)
	counts := map[string]int{}
	for _, c := range all.Calls {
		if c.Operation == operation {
			counts[c.Outcome] += c.Calls
		}
	}
	return counts
}

// Control speaks to the simulator's control API.
func (in *Install) Control(t testing.TB, method, path string, body, into any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, in.Simulated(t)+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s %s", method, path, res.Status, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
}
