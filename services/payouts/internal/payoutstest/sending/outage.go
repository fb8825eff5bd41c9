package sending

import "github.com/agogopay/agogo/internal/pg/pgtest"

// Database opens a pool on the environment's schema that can be cut off from the server.
func (e *Env) Database() *pgtest.Line {
	e.t.Helper()
	return pgtest.NewLine(e.t, e.Pool)
}
