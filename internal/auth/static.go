package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agogopay/agogo/internal/config"
)

// Authenticator turns a bearer token into an actor.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Actor, error)
}

// ErrUnknownToken means that a token is nobody's.
var ErrUnknownToken = errors.New("this token is not known")

// Static authenticates by the hashes of configured tokens.
type Static struct{ byHash map[config.TokenHash]Actor }

// NewStatic makes an authenticator of the tokens file's list.
func NewStatic(tokens []config.Token) (*Static, error) {
	s := &Static{byHash: make(map[config.TokenHash]Actor, len(tokens))}
	names := map[string]bool{}
	for _, t := range tokens {
		role, err := ParseRole(t.Role)
		hash := t.Digest()
		switch {
		case err != nil:
			return nil, fmt.Errorf("token of %q: %w", t.Name, err)
		case t.Name == "" || hash == (config.TokenHash{}):
			return nil, fmt.Errorf("token of %q: name and token must not be empty", t.Name)
		case names[t.Name]:
			return nil, fmt.Errorf("token of %q: the name stands twice, and the audit trail tells people apart by it", t.Name)
		}
		if other, twice := s.byHash[hash]; twice {
			return nil, fmt.Errorf("token of %q: it is also that of %s: give each its own", t.Name, other.Name)
		}
		names[t.Name] = true
		s.byHash[hash] = Actor{Name: actorName(t.Name), Role: role, Tenants: slices.Clone(t.Tenants)}
	}
	return s, nil
}

// actorName tells people from services, which the audit trail should.
func actorName(name string) string {
	if strings.HasPrefix(name, "service:") {
		return name
	}
	return "user:" + name
}

// Authenticate compares hashes. How long the look-up takes depends on a hash that a caller cannot choose, so it says
// nothing about any token.
func (s *Static) Authenticate(_ context.Context, token string) (Actor, error) {
	a, ok := s.byHash[config.HashToken(token)]
	if !ok {
		return Actor{}, ErrUnknownToken
	}
	return a, nil
}
