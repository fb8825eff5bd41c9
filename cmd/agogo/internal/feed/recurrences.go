package feed

import (
	"context"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// recurrencesImport adapts the recurrences service's import stream.
type recurrencesImport struct {
	stream recurrencesv1.RecurrencesService_ImportRecurrencesClient
}

func (r recurrencesImport) send(data []byte) error {
	return r.stream.Send(&recurrencesv1.ImportRequest{Data: append([]byte(nil), data...)})
}
func (r recurrencesImport) finish() error { return r.stream.CloseSend() }

func (r recurrencesImport) recv() (string, *Tally, *Tally, error) {
	m, err := r.stream.Recv()
	if err != nil {
		return "", nil, nil, err
	}
	tally := func(t *recurrencesv1.ImportProgress) *Tally {
		if t == nil {
			return nil
		}
		return &Tally{Rows: t.Rows, Inserted: t.Inserted, Unchanged: t.Unchanged, Refused: t.Refused}
	}
	if r := m.GetRefusal(); r != nil {
		return refusalLine(r.Line, r.Field, r.Message), nil, nil, nil
	}
	return "", tally(m.GetProgress()), tally(m.GetSummary()), nil
}

// Recurrences opens imports of recurrences.
func Recurrences(client recurrencesv1.RecurrencesServiceClient) Open {
	return func(ctx context.Context, tenant, format string) (Importer, error) {
		s, err := client.ImportRecurrences(ctx)
		if err != nil {
			return nil, err
		}
		return recurrencesImport{s}, begun(s.Send(&recurrencesv1.ImportRequest{Options: &recurrencesv1.ImportOptions{Tenant: tenant, Format: format}}))
	}
}
