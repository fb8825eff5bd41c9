package disburse

import (
	"slices"
	"sync"
)

// quota bounds how many pages of one tenant are worked on at once, so that one tenant's million does not occupy the workers
// that another's ten need. Pages beyond it wait here and are taken by the tenant's workers as they finish.
type quota struct {
	most int

	mu      sync.Mutex
	tenants map[string]*share
}

type share struct {
	working int
	waiting []job
}

func newQuota(most int) *quota { return &quota{most: most, tenants: map[string]*share{}} }

// enter reports whether the caller may work; if not, the page waits for those who do.
func (q *quota) enter(tenant string, j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.tenants[tenant]
	if s == nil {
		s = &share{}
		q.tenants[tenant] = s
	}
	if s.working < q.most {
		s.working++
		return true
	}
	if !slices.Contains(s.waiting, j) {
		s.waiting = append(s.waiting, j)
	}
	return false
}

// next returns a page that waits, or gives the caller's place back.
func (q *quota) next(tenant string) (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.tenants[tenant]
	if len(s.waiting) == 0 {
		q.free(tenant, s)
		return job{}, false
	}
	j := s.waiting[0]
	s.waiting = s.waiting[1:]
	return j, true
}

// leave gives the caller's place back after a failure. The pages that wait stay for the tenant's other workers; without any
// they are forgotten here, and found by the sweeper.
func (q *quota) leave(tenant string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free(tenant, q.tenants[tenant])
}

func (q *quota) free(tenant string, s *share) {
	if s.working--; s.working == 0 {
		delete(q.tenants, tenant)
	}
}
