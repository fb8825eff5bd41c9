package connector_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
)

// pigeon carries money and lets itself be asked about it; courier also calls back.
type pigeon struct{ name string }

func (pigeon) Submit(context.Context, provider.Transfer) provider.Result {
	return provider.Result{Class: provider.Succeeded}
}

func (pigeon) Lookup(context.Context, provider.Transfer) (provider.Found, error) {
	return provider.Found{}, nil
}

type courier struct{ pigeon }

func (courier) Verify(http.Header, []byte) ([]string, error) { return nil, nil }

func use(serves map[string]string) connector.Use {
	return connector.Use{
		Kinds: map[string]func(config.Provider, clock.Clock) connector.Adapter{
			"pigeon":  func(c config.Provider, _ clock.Clock) connector.Adapter { return pigeon{c.Name} },
			"courier": func(c config.Provider, _ clock.Clock) connector.Adapter { return courier{pigeon{c.Name}} },
		},
		Serves: func(t config.Tenant) (string, bool) { p, ok := serves[t.ID]; return p, ok },
		Verb:   "carry money",
	}
}

func tenant(id string, providers ...config.Provider) config.Tenant {
	t := config.Tenant{ID: id, Providers: map[string]config.Provider{}}
	for _, p := range providers {
		t.Providers[p.Name] = p
	}
	return t
}

func TestConnectorsOfTheFile(t *testing.T) {
	t.Parallel()
	file := &config.File{Tenants: []config.Tenant{
		tenant("lebenis", config.Provider{Name: "slow", Kind: "pigeon", Timeout: 2 * time.Second, Concurrency: 8, RatePerSec: 50},
			config.Provider{Name: "quick", Kind: "courier", RetryAfter: []time.Duration{time.Hour}}, config.Provider{Name: "other", Kind: "fax"}),
		tenant("wallclub", config.Provider{Name: "slow", Kind: "pigeon"}),
	}}
	set, err := connector.Build(file, clock.Real(), use(map[string]string{"lebenis": "slow"}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range set.All() {
		names = append(names, c.Tenant+"/"+c.Provider+" "+c.Kind)
	}
	if got := strings.Join(names, ", "); got != "lebenis/quick courier, lebenis/slow pigeon" {
		t.Errorf("connectors %s: tenants without the service and kinds of others have none", got)
	}
	c, ok := set.Get("lebenis", "slow")
	if !ok || c.Submitter != (pigeon{"slow"}) || c.Lookuper == nil || c.Verifier != nil {
		t.Fatalf("got %+v", c)
	}
	if c.Policy.Lease <= 2*c.Policy.Timeout || c.Policy.Margin <= 0 || len(c.Policy.LookupAfter) == 0 || len(c.RetryAfter) != 2 {
		t.Errorf("policy %+v, retries %v: what the file leaves out has a default", c.Policy, c.RetryAfter)
	}
	if _, ok := set.Get("wallclub", "slow"); ok {
		t.Error("a tenant without the service has a connector")
	}
	set.Share(4)
	if n, err := c.Throttle.Part("run").Slots(t.Context(), 100); err != nil || n != 2 {
		t.Errorf("a quarter of 8 slots is %d (%v)", n, err)
	}
	if src := set.Sources(); len(src) != 1 || src[0].Tenant != "lebenis" || src[0].Provider != "quick" || src[0].Verifier == nil {
		t.Errorf("sources %+v: only those that call back", src)
	}
	quick, _ := set.Get("lebenis", "quick")
	if len(quick.RetryAfter) != 1 || quick.RetryAfter[0] != time.Hour {
		t.Errorf("retries %v, the file says 1 h", quick.RetryAfter)
	}
}

func TestDefaultProviderThatCannotDoIt(t *testing.T) {
	t.Parallel()
	file := &config.File{Tenants: []config.Tenant{tenant("lebenis", config.Provider{Name: "orange", Kind: "fax"})}}
	_, err := connector.Build(file, clock.Real(), use(map[string]string{"lebenis": "orange"}))
	if err == nil || !strings.Contains(err.Error(), `"fax", which cannot carry money`) {
		t.Errorf("a tenant whose default provider has no adapter: %v", err)
	}
	if _, err := connector.Build(file, clock.Real(), use(map[string]string{"lebenis": ""})); err != nil {
		t.Errorf("a tenant without a default provider: %v", err)
	}
}

func TestTheLastOfANameStays(t *testing.T) {
	t.Parallel()
	var set connector.Set
	first, second := connector.New("a", config.Provider{Name: "p"}, pigeon{"1"}), connector.New("a", config.Provider{Name: "p"}, pigeon{"2"})
	set.Add(first)
	set.Add(second)
	if c, _ := set.Get("a", "p"); c != second || len(set.All()) != 1 {
		t.Errorf("got %+v of %d", c, len(set.All()))
	}
}

// A list that is left out has the default; an empty one says that nothing is tried again by itself.
func TestAnEmptyListOfRetriesStaysEmpty(t *testing.T) {
	t.Parallel()
	if c := connector.New("lebenis", config.Provider{Name: "once", RetryAfter: []time.Duration{}}, pigeon{}); len(c.RetryAfter) != 0 {
		t.Errorf("retries %v", c.RetryAfter)
	}
}
