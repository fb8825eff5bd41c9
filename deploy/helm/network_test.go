//go:build chart

package helm_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
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
		CIDR   netip.Prefix   `yaml:"cidr"`
		Except []netip.Prefix `yaml:"except"`
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
		return p.IPBlock.CIDR.String()
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

// public are the addresses that services with partners outside may call; see TestPublicAddressesAreNobodysOwn.
var public = []string{"0.0.0.0/0 443", "::/0 443"}

var names = []string{"169.254.20.10/32 53 53", "namespace kube-system 53 53"}

func out(more ...string) []string { return slices.Sorted(slices.Values(slices.Concat(names, more))) }

func outside(more ...string) []string { return out(slices.Concat(public, more)...) }

func TestEachPodReachesItsPeersAndNobodyElse(t *testing.T) {
	t.Parallel()
	for variant, want := range map[string]map[string]traffic{
		"standard": {
			"default-deny": {},
			"scheduler":    {[]string{"test 7101 8101"}, out("anybody 5432", "nats 4222")},
			"payouts":      {[]string{"test 7102 8102"}, outside("anybody 5432", "nats 4222")},
			"recurrences":  {[]string{"test 7103 8103"}, outside("anybody 5432", "nats 4222")},
			"notifier":     {[]string{"test 7104 8104"}, outside("anybody 5432", "nats 4222")},
			"provision":    {nil, out("anybody 5432", "nats 4222")},
			"test":         {nil, out("notifier 7104 8104", "payouts 7102 8102", "recurrences 7103 8103", "scheduler 7101 8101")},
			"keys":         {nil, []string{"anybody 443 6443"}},
			"nats":         {[]string{"nats 6222", "scheduler|payouts|recurrences|notifier|provision 4222"}, out("nats 6222")},
		},
		"external": {
			"default-deny": {},
			"scheduler":    {[]string{"namespace pay 7101", "namespace watch 8101", "test 7101 8101"}, out("10.1.2.3/32 5432", "10.1.2.4/32 4222")},
			"payouts":      {[]string{"namespace edge 8102", "namespace pay 7102", "namespace watch 8102", "test 7102 8102"}, outside("10.1.2.3/32 5432", "10.1.2.4/32 4222")},
			"recurrences":  {[]string{"namespace edge 8103", "namespace pay 7103", "namespace watch 8103", "test 7103 8103"}, outside("10.1.2.3/32 5432", "10.1.2.4/32 4222")},
			"notifier":     {[]string{"namespace pay 7104", "namespace watch 8104", "test 7104 8104"}, outside("10.1.2.3/32 5432", "10.1.2.4/32 4222")},
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

// A payout service that is broken into reaches no machine of the house: networks that are somebody's own are not among the public
// addresses, and providers are.
func TestPublicAddressesAreNobodysOwn(t *testing.T) {
	t.Parallel()
	all := policies(t, variants["standard"]...)
	for _, name := range []string{"payouts", "recurrences", "notifier"} {
		for addr, want := range map[string]bool{
			"10.1.2.3": false, "172.31.255.254": false, "192.168.1.1": false, "169.254.169.254": false,
			"100.64.0.1": false, "100.100.100.200": false, "100.127.255.254": false, // of carriers, and of some clouds' pods and metadata
			"fd00::1": false, "fdff:ffff::1": false, "fe80::1": false, "fd00:ec2::254": false,
			"8.8.8.8": true, "100.63.255.255": true, "100.128.0.1": true, "172.32.0.1": true, "2001:4860:4860::8888": true,
		} {
			got := false
			for _, r := range all[name].Spec.Egress {
				if len(r.Ports) == 1 && r.Ports[0].Port == 443 {
					got = got || slices.ContainsFunc(r.To, func(p peer) bool { return p.reaches(netip.MustParseAddr(addr)) })
				}
			}
			if got != want {
				t.Errorf("%s reaches %s: %t, want %t", name, addr, got, want)
			}
		}
	}
}

func (p peer) reaches(addr netip.Addr) bool {
	return p.IPBlock != nil && p.IPBlock.CIDR.Contains(addr) && !slices.ContainsFunc(p.IPBlock.Except, func(e netip.Prefix) bool { return e.Contains(addr) })
}

// A rule that is not one would lose what it says on its way to the API server, and what is left of it may allow everything.
func TestRulesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"networkPolicy.providersTo[0].cidr=1.2.3.0/24":                                                           "cidr",
		"networkPolicy.providersTo[0].to[0].cidr=1.2.3.0/24":                                                     "cidr",
		"networkPolicy.pushTo[0].to[0].ipBlock.cidr=1.2.3.4":                                                     "pushTo",
		"networkPolicy.pushTo[0].to[0].ipBlock.cidr=1.2.3.0/24,networkPolicy.pushTo[0].port=443":                 "port",
		"networkPolicy.providersTo[0].ports[0].protocol=http":                                                    "protocol",
		"networkPolicy.tracesTo[0].to[0].ipBlock.cidr=::/0,networkPolicy.tracesTo[0].to[0].ipBlock.except[0]=::": "except",
		"networkPolicy.databaseTo[0].ipblock.cidr=1.2.3.4/32":                                                    "ipblock",
		"networkPolicy.grpcFrom[0].namespace=pay":                                                                "namespace",
	} {
		if _, err := template("--set", set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want a refusal that says %q", set, err, want)
		}
	}
	if _, err := template("--set", "networkPolicy.providersTo[0].to[0].ipBlock.cidr=2001:db8::/32,networkPolicy.providersTo[0].ports[0].port=8443"); err != nil {
		t.Error(err)
	}
}
