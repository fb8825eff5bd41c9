//go:build chart

package helm_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// policy is a NetworkPolicy as far as the chart writes it.
type policy struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		PodSelector selector `yaml:"podSelector"`
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []rule   `yaml:"ingress"`
		Egress      []rule   `yaml:"egress"`
	} `yaml:"spec"`
}

type rule struct {
	From  []peer `yaml:"from"`
	To    []peer `yaml:"to"`
	Ports []struct {
		Port     int    `yaml:"port"`
		Protocol string `yaml:"protocol"`
	} `yaml:"ports"`
}

type peer struct {
	PodSelector       *selector `yaml:"podSelector"`
	NamespaceSelector *selector `yaml:"namespaceSelector"`
	IPBlock           *struct {
		CIDR string `yaml:"cidr"`
	} `yaml:"ipBlock"`
}

type selector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []struct {
		Values []string `yaml:"values"`
	} `yaml:"matchExpressions"`
}

// who names a peer by what tells it from others.
func (p peer) who() string {
	switch {
	case p.IPBlock != nil:
		return p.IPBlock.CIDR
	case p.NamespaceSelector != nil:
		for _, v := range p.NamespaceSelector.MatchLabels {
			return "namespace " + v
		}
		return "every namespace"
	case p.PodSelector.MatchLabels["cnpg.io/cluster"] != "":
		return "postgres"
	case p.PodSelector.MatchLabels["app.kubernetes.io/instance"] != "shop":
		return "another release"
	case len(p.PodSelector.MatchExpressions) > 0:
		return strings.Join(p.PodSelector.MatchExpressions[0].Values, "|")
	case p.PodSelector.MatchLabels["app.kubernetes.io/component"] != "":
		return p.PodSelector.MatchLabels["app.kubernetes.io/component"]
	}
	return "the whole release"
}

// lines are what rules allow, a peer and its ports each.
func lines(rules []rule, peers func(rule) []peer) []string {
	var all []string
	for _, r := range rules {
		ports := ""
		for _, p := range r.Ports {
			ports += fmt.Sprintf(" %d", p.Port)
		}
		if len(peers(r)) == 0 {
			all = append(all, "anybody"+ports)
		}
		for _, p := range peers(r) {
			all = append(all, p.who()+ports)
		}
	}
	slices.Sort(all)
	return all
}

func policies(t *testing.T, args ...string) map[string]policy {
	t.Helper()
	text, err := template(args...)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]policy{}
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var p policy
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return by
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind == "NetworkPolicy" {
			by[strings.TrimPrefix(p.Metadata.Name, "shop-agogo-")] = p
		}
	}
}

// traffic is who a component is called by and who it calls.
type traffic struct{ In, Out []string }

const public = "0.0.0.0/0 443"

var names = []string{"169.254.20.10/32 53 53", "namespace kube-system 53 53"}

func out(more ...string) []string { return slices.Sorted(slices.Values(slices.Concat(names, more))) }

func TestEachPodReachesItsPeersAndNobodyElse(t *testing.T) {
	t.Parallel()
	for variant, want := range map[string]map[string]traffic{
		"standard": {
			"default-deny": {},
			"scheduler":    {[]string{"test 7101 8101"}, out("anybody 5432", "nats 4222")},
			"payouts":      {[]string{"test 7102 8102"}, out("anybody 5432", "nats 4222", public)},
			"recurrences":  {[]string{"test 7103 8103"}, out("anybody 5432", "nats 4222", public)},
			"notifier":     {[]string{"test 7104 8104"}, out("anybody 5432", "nats 4222", public)},
			"provision":    {nil, out("anybody 5432", "nats 4222")},
			"test":         {nil, out("notifier 7104 8104", "payouts 7102 8102", "recurrences 7103 8103", "scheduler 7101 8101")},
			"keys":         {nil, []string{"anybody 443 6443"}},
			"nats":         {[]string{"nats 6222", "scheduler|payouts|recurrences|notifier|provision 4222"}, out("nats 6222")},
		},
		"external": {
			"default-deny": {},
			"scheduler":    {[]string{"namespace pay 7101", "namespace watch 8101", "test 7101 8101"}, out("10.1.2.3/32 5432", "10.1.2.4/32 4222")},
			"payouts":      {[]string{"namespace edge 8102", "namespace pay 7102", "namespace watch 8102", "test 7102 8102"}, out("10.1.2.3/32 5432", "10.1.2.4/32 4222", public)},
			"recurrences":  {[]string{"namespace edge 8103", "namespace pay 7103", "namespace watch 8103", "test 7103 8103"}, out("10.1.2.3/32 5432", "10.1.2.4/32 4222", public)},
			"notifier":     {[]string{"namespace pay 7104", "namespace watch 8104", "test 7104 8104"}, out("10.1.2.3/32 5432", "10.1.2.4/32 4222", public)},
			"provision":    {nil, out("10.1.2.3/32 5432", "10.1.2.4/32 4222")},
			"test":         {nil, out("notifier 7104 8104", "payouts 7102 8102", "recurrences 7103 8103", "scheduler 7101 8101")},
		},
	} {
		got := map[string]traffic{}
		for name, p := range policies(t, variants[variant]...) {
			got[name] = traffic{lines(p.Spec.Ingress, func(r rule) []peer { return r.From }), lines(p.Spec.Egress, func(r rule) []peer { return r.To })}
			if !slices.Equal(p.Spec.PolicyTypes, []string{"Ingress", "Egress"}) {
				t.Errorf("%s: %s is of %v", variant, name, p.Spec.PolicyTypes)
			}
			if l := p.Spec.PodSelector.MatchLabels; name != "default-deny" && l["app.kubernetes.io/component"] != name || l["app.kubernetes.io/instance"] != "shop" || len(p.Spec.PodSelector.MatchExpressions) > 0 {
				t.Errorf("%s: %s is of %v", variant, name, l)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", variant, d)
		}
	}
	p := policies(t, variants["operators"]...)["payouts"]
	if got := lines(p.Spec.Egress, func(r rule) []peer { return r.To }); !slices.Contains(got, "postgres 5432") || slices.Contains(got, "anybody 5432") {
		t.Errorf("with CloudNativePG payouts reaches %v", got)
	}
}

// A pod whose component no policy names could reach nothing: it is a mistake of the chart.
func TestEveryPodHasAPolicy(t *testing.T) {
	t.Parallel()
	named := policies(t, variants["standard"]...)
	for _, m := range rendered(t, variants["standard"]...) {
		component := m.Spec.Template.Metadata.Labels["app.kubernetes.io/component"]
		if _, ok := named[component]; len(m.Spec.Template.Spec.Containers) > 0 && !ok {
			t.Errorf("%s %s: no policy for the component %q", m.Kind, m.Metadata.Name, component)
		}
	}
}
