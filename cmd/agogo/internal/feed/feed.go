// Package feed sends files into the import streams of the services, chunk by chunk, while it listens to what they refuse.
package feed

import (
	"context"
	"errors"
	"fmt"
	"io"

	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// chunk is how much of a file one message carries.
const chunk = 64 << 10

// Tally is what an import did.
type Tally struct {
	Rows, Inserted, Updated, Unchanged, Refused int64
}

// String says it in one line.
func (t Tally) String() string {
	return fmt.Sprintf("%d rows: %d new, %d changed, %d known already, %d refused", t.Rows, t.Inserted, t.Updated, t.Unchanged, t.Refused)
}

// Heard is called while an import runs; either may be nil.
type Heard struct {
	Refused    func(line string)
	Progressed func(Tally)
}

// Open begins an import into a tenant.
type Open func(ctx context.Context, tenant, format string) (Importer, error)

// Importer is the part of an import stream that all imports share: send bytes, hear refusals, progress, summary.
type Importer interface {
	send(data []byte) error
	finish() error
	recv() (refusal string, progress *Tally, summary *Tally, err error)
}

// File sends everything from r and returns the summary.
func File(ctx context.Context, open Open, tenant, format string, r io.Reader, heard Heard) (Tally, error) {
	wanted := ctx
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	in, err := open(ctx, tenant, format)
	if err != nil {
		return Tally{}, err
	}
	sent := make(chan error, 1)
	go func() {
		err := sendAll(ctx, in, r)
		if err != nil {
			broken(err) // rather than an end of the stream: the server would take half a file for a whole one
		}
		sent <- err
	}()
	var sum Tally
	for {
		refusal, progress, summary, err := in.recv()
		switch {
		case errors.Is(err, io.EOF):
			return sum, <-sent
		case err != nil && ctx.Err() != nil && wanted.Err() == nil:
			return sum, context.Cause(ctx)
		case err != nil:
			// The server's word is the cause; the sender only saw the stream end.
			return sum, err
		case refusal != "" && heard.Refused != nil:
			heard.Refused(refusal)
		case progress != nil && heard.Progressed != nil:
			heard.Progressed(*progress)
		case summary != nil:
			sum = *summary
		}
	}
}

func sendAll(ctx context.Context, in Importer, r io.Reader) error {
	buf := make([]byte, chunk)
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		if n > 0 {
			if in.send(buf[:n:n]) != nil {
				return nil //nolint:nilerr // the stream ended: what it answers tells the cause
			}
		}
		if errors.Is(err, io.EOF) {
			return in.finish()
		}
		if err != nil {
			return fmt.Errorf("reading the file: %w", err)
		}
	}
	return ctx.Err()
}

func refusalLine(line int64, field, message string) string {
	if field != "" {
		message = field + ": " + message
	}
	return fmt.Sprintf("line %d: %s", line, message)
}

// payoutsImport adapts the payouts service's import streams.
type payoutsImport struct {
	stream interface {
		Send(*payoutsv1.ImportRequest) error
		Recv() (*payoutsv1.ImportResponse, error)
		CloseSend() error
	}
}

func (p payoutsImport) send(data []byte) error {
	return p.stream.Send(&payoutsv1.ImportRequest{Data: append([]byte(nil), data...)})
}
func (p payoutsImport) finish() error { return p.stream.CloseSend() }

func (p payoutsImport) recv() (string, *Tally, *Tally, error) {
	m, err := p.stream.Recv()
	if err != nil {
		return "", nil, nil, err
	}
	tally := func(t *payoutsv1.ImportProgress) *Tally {
		if t == nil {
			return nil
		}
		return &Tally{t.Rows, t.Inserted, t.Updated, t.Unchanged, t.Refused}
	}
	if r := m.GetRefusal(); r != nil {
		return refusalLine(r.Line, r.Field, r.Message), nil, nil, nil
	}
	return "", tally(m.GetProgress()), tally(m.GetSummary()), nil
}

// Payments opens imports of payments.
func Payments(client payoutsv1.PayoutsServiceClient) Open {
	return func(ctx context.Context, tenant, format string) (Importer, error) {
		s, err := client.ImportPayments(ctx)
		if err != nil {
			return nil, err
		}
		return payoutsImport{s}, begin(s, tenant, format)
	}
}

// Payees opens imports of payees.
func Payees(client payoutsv1.PayoutsServiceClient) Open {
	return func(ctx context.Context, tenant, format string) (Importer, error) {
		s, err := client.ImportPayees(ctx)
		if err != nil {
			return nil, err
		}
		return payoutsImport{s}, begin(s, tenant, format)
	}
}

func begin(s interface {
	Send(*payoutsv1.ImportRequest) error
}, tenant, format string,
) error {
	return begun(s.Send(&payoutsv1.ImportRequest{Options: &payoutsv1.ImportOptions{Tenant: tenant, Format: format}}))
}

// begun is the error of a first send, but for io.EOF: that only says that the server has answered already, and its answer,
// which recv gets, is the cause.
func begun(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// devicesImport adapts the notifier's import stream.
type devicesImport struct {
	stream notifierv1.NotifierService_ImportDevicesClient
}

func (d devicesImport) send(data []byte) error {
	return d.stream.Send(&notifierv1.ImportDevicesRequest{Data: append([]byte(nil), data...)})
}
func (d devicesImport) finish() error { return d.stream.CloseSend() }

func (d devicesImport) recv() (string, *Tally, *Tally, error) {
	m, err := d.stream.Recv()
	if err != nil {
		return "", nil, nil, err
	}
	tally := func(t *notifierv1.Progress) *Tally {
		if t == nil {
			return nil
		}
		return &Tally{t.Rows, t.Inserted, t.Updated, t.Unchanged, t.Refused}
	}
	if r := m.GetRefusal(); r != nil {
		return refusalLine(r.Line, r.Field, r.Message), nil, nil, nil
	}
	return "", tally(m.GetProgress()), tally(m.GetSummary()), nil
}

// Devices opens imports of devices.
func Devices(client notifierv1.NotifierServiceClient) Open {
	return func(ctx context.Context, tenant, format string) (Importer, error) {
		s, err := client.ImportDevices(ctx)
		if err != nil {
			return nil, err
		}
		return devicesImport{s}, begun(s.Send(&notifierv1.ImportDevicesRequest{Tenant: tenant, Format: format}))
	}
}
