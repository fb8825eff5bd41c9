package dispatch

import (
	"slices"
	"sync"

	"github.com/google/uuid"
)

// quota bounds how many pages of one tenant are worked on at once, so that one tenant's million does not occupy the workers
// that another's ten need, and keeps a page from being worked on twice at once. Pages beyond it wait here and are taken by
// the tenant's workers as they finish.
type quota struct {
	most int

	mu      sync.Mutex
	tenants map[string]*share
}

type share struct {
	working []job
	waiting []job
}

func newQuota(most int) *quota { return &quota{most: most, tenants: map[string]*share{}} }

// enter reports whether the caller may work; if not, the page waits for those who do. One that is being worked on waits too:
// what the command is about may have come after that worker's last look.
func (q *quota) enter(tenant string, j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.tenants[tenant]
	if s == nil {
		s = &share{}
		q.tenants[tenant] = s
	}
	if len(s.working) < q.most && !slices.Contains(s.working, j) {
		s.working = append(s.working, j)
		return true
	}
	if !slices.Contains(s.waiting, j) {
		s.waiting = append(s.waiting, j)
	}
	return false
}

// next exchanges the page that is done for one that waits and that nobody works on, or gives the caller's place back.
func (q *quota) next(tenant string, done job) (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.tenants[tenant]
	s.working = without(s.working, done)
	for _, j := range s.waiting {
		if slices.Contains(s.working, j) {
			continue // whoever works on it takes it again
		}
		s.waiting, s.working = without(s.waiting, j), append(s.working, j)
		return j, true
	}
	q.free(tenant, s)
	return job{}, false
}

// leave gives the caller's place back after a failure. The pages that wait stay for the tenant's other workers; without any
// they are forgotten here, and found by the sweeper.
func (q *quota) leave(tenant string, failed job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.tenants[tenant]
	s.working = without(s.working, failed)
	q.free(tenant, s)
}

// pages are those of a run that this process works on, or will.
func (q *quota) pages(tenant string, run uuid.UUID) (all []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.tenants[tenant]; s != nil {
		for _, j := range slices.Concat(s.working, s.waiting) {
			if j.run == run {
				all = append(all, j.page)
			}
		}
	}
	return all
}

func (q *quota) free(tenant string, s *share) {
	if len(s.working) == 0 {
		delete(q.tenants, tenant)
	}
}

func without(jobs []job, j job) []job {
	return slices.DeleteFunc(jobs, func(o job) bool { return o == j })
}
