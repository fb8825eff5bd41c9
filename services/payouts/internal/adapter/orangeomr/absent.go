package orangeomr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/agogopay/agogo/internal/provider"
)

// absent decides what 404 code 60 says to a lookup. The platform uses it for an unknown transaction and for an application
// that the service is not activated for, in which case every transaction is "not found", those that were paid too. It means
// absent only when the service answers us after it; otherwise the question was not answered.
func (a *Adapter) absent(ctx context.Context) (provider.Found, error) {
	if a.cfg.SkipActivationCheck {
		return provider.Found{}, errors.New("lookup: not found, which proves nothing where the activation is not asked for")
	}
	if err := a.active.prove(func() error { return a.activated(ctx) }); err != nil {
		return provider.Found{}, fmt.Errorf("lookup: not found, which proves nothing while the service may not be activated: %w", err)
	}
	return provider.Found{}, nil
}

// activated asks, past every cache, for what only an application gets that the service is activated for: the list of
// services, and the cash-in form where the contract has that step.
func (a *Adapter) activated(ctx context.Context) error {
	token, err := a.services(ctx)
	if err != nil || !a.cfg.FormsStep {
		return err
	}
	_, _, err = a.cashInForm(ctx, token)
	return err
}

// activation lets lookups that found nothing share the question whether the service is activated. What was asked before the
// lookup's answer came proves nothing about it.
type activation struct {
	order  atomic.Int64 // of answers and questions
	mu     sync.Mutex
	proven int64 // when the newest question began that was answered well
}

func (p *activation) prove(ask func() error) error {
	answered := p.order.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proven > answered {
		return nil
	}
	began := p.order.Add(1)
	if err := ask(); err != nil {
		return err
	}
	p.proven = began
	return nil
}
