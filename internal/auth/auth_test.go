package auth_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
)

func TestMay(t *testing.T) {
	t.Parallel()
	roles := []auth.Role{auth.None, auth.Viewer, auth.Operator, auth.Approver, auth.Admin, auth.Admin + 1, -1}
	allowed := map[[2]auth.Role]bool{
		{auth.Viewer, auth.Viewer}:     true,
		{auth.Operator, auth.Viewer}:   true,
		{auth.Operator, auth.Operator}: true,
		{auth.Approver, auth.Viewer}:   true,
		{auth.Approver, auth.Approver}: true,
		{auth.Admin, auth.Viewer}:      true,
		{auth.Admin, auth.Operator}:    true,
		{auth.Admin, auth.Approver}:    true,
		{auth.Admin, auth.Admin}:       true,
	}
	for _, have := range roles {
		for _, want := range roles {
			a := auth.Actor{Name: "user:ada", Role: have, Tenants: []string{"lebenis"}}
			if got := a.May(want, "lebenis"); got != allowed[[2]auth.Role{have, want}] {
				t.Errorf("%s may what needs %s: %v", have, want, got)
			}
		}
	}
}

func TestMayByTenant(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		tenants []string
		tenant  string
		want    bool
	}{
		{"user:ada", []string{"lebenis", "wallclub"}, "wallclub", true},
		{"user:ada", []string{"lebenis"}, "wallclub", false},
		{"user:ada", []string{"*"}, "wallclub", true},
		{"user:ada", []string{"*"}, "", true},
		{"user:ada", []string{"lebenis"}, "", false},
		{"user:ada", []string{""}, "", false},
		{"user:ada", nil, "lebenis", false},
		{"user:ada", []string{"lebenis"}, "*", false},
		{"", []string{"*"}, "lebenis", false},
	} {
		a := auth.Actor{Name: tc.name, Role: auth.Viewer, Tenants: tc.tenants}
		if got := a.May(auth.Viewer, tc.tenant); got != tc.want {
			t.Errorf("%+v on %q: %v", a, tc.tenant, got)
		}
	}
	if (auth.Actor{Name: "user:ada", Role: auth.Viewer}).Has(auth.Viewer) {
		t.Error("an actor of no tenant has a role")
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	if _, err := auth.Require(t.Context(), auth.Viewer, "lebenis"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without an actor: %v", err)
	}
	if _, err := auth.Require(auth.WithActor(t.Context(), auth.Actor{}), auth.Viewer, "lebenis"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with an actor without a name: %v", err)
	}
	ada := auth.Actor{Name: "user:ada", Role: auth.Viewer, Tenants: []string{"lebenis"}}
	ctx := auth.WithActor(t.Context(), ada)
	got, err := auth.Require(ctx, auth.Viewer, "lebenis")
	if d := cmp.Diff(ada, got); d != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, d)
	}
	for tenant, want := range map[string]string{
		"lebenis": `user:ada needs the role operator on tenant "lebenis": ask an administrator`,
		"":        "user:ada needs the role operator on all tenants: name a tenant, or ask an administrator",
	} {
		_, err := auth.Require(ctx, auth.Operator, tenant)
		if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != want {
			t.Errorf("on %q: %v, want %s", tenant, err, want)
		}
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	s, err := auth.NewStatic([]config.Token{
		{Name: "ada", Role: "operator", Tenants: []string{"lebenis"}, Secret: "token-of-ada"},
		{Name: "service:console", Role: "viewer", Tenants: []string{"*"}, Secret: "token-of-console"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]auth.Actor{
		"token-of-ada":     {Name: "user:ada", Role: auth.Operator, Tenants: []string{"lebenis"}},
		"token-of-console": {Name: "service:console", Role: auth.Viewer, Tenants: []string{"*"}},
	} {
		got, err := s.Authenticate(t.Context(), token)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", token, err, d)
		}
	}
	for _, token := range []string{"", "token-of-ad", "token-of-ada ", "Token-of-ada"} {
		if got, err := s.Authenticate(context.Background(), token); err == nil || got.Name != "" {
			t.Errorf("token %q is %+v", token, got)
		}
	}
}

func TestNewStaticRefuses(t *testing.T) {
	t.Parallel()
	good := config.Token{Name: "ada", Role: "viewer", Secret: "hunter2"}
	for want, tokens := range map[string][]config.Token{
		`token of "ada": role "root" is not viewer, operator, approver or admin`:              {{Name: "ada", Role: "root", Secret: "hunter2"}},
		`token of "ada": role "none" is not viewer, operator, approver or admin`:              {{Name: "ada", Role: "none", Secret: "hunter2"}},
		`token of "ada": name and token must not be empty`:                                    {{Name: "ada", Role: "viewer"}},
		`token of "": name and token must not be empty`:                                       {{Role: "viewer", Secret: "hunter2"}},
		`token of "bob": it is also that of user:ada: give each its own`:                      {good, {Name: "bob", Role: "admin", Secret: "hunter2"}},
		`token of "ada": the name stands twice, and the audit trail tells people apart by it`: {good, {Name: "ada", Role: "admin", Secret: "other"}},
	} {
		_, err := auth.NewStatic(tokens)
		if err == nil || err.Error() != want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
