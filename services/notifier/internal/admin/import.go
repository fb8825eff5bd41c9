package admin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/rpc"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	"github.com/agogopay/agogo/services/notifier/internal/imports"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// importPage is how many rows one transaction takes.
const importPage = 1000

type importStream = grpc.BidiStreamingServer[notifierv1.ImportDevicesRequest, notifierv1.ImportDevicesResponse]

// ImportDevices reads a file as it arrives and writes it page by page: refusals go out as they are found, progress after
// each page, one summary at the end. A call that breaks off has stored the pages it told of; repeating it is harmless.
func (s *Server) ImportDevices(stream importStream) error {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return rpc.Invalid("tenant", "missing: the first message must name the tenant")
	}
	if err != nil {
		return err
	}
	tenant := first.GetTenant()
	actor, err := auth.Require(stream.Context(), auth.Operator, tenant)
	if err != nil {
		return err
	}
	if _, ok := s.tenants.Tenant(tenant); !ok {
		return rpc.NotFound("tenant", tenant)
	}
	format := first.GetFormat()
	if format == "" {
		format = "csv"
	}
	rows, err := imports.New(format, &chunks{stream: stream, tenant: tenant, rest: first.GetData()})
	if err != nil {
		return rpc.Invalid("format", "%v", err)
	}
	ctx := event.WithCause(stream.Context(), event.Cause{Actor: actor.Name, CorrelationID: event.CauseFrom(stream.Context()).CorrelationID})
	im := &importer{server: s, stream: stream, tenant: tenant, tokens: map[string]bool{}}
	if err := im.run(ctx, rows); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "devices imported", "tenant", tenant, "actor", actor.Name, "rows", im.total.GetRows(), "inserted", im.total.GetInserted(),
		"updated", im.total.GetUpdated(), "refused", im.total.GetRefused())
	return stream.Send(&notifierv1.ImportDevicesResponse{Message: &notifierv1.ImportDevicesResponse_Summary{Summary: &im.total}})
}

// chunks is the file as a reader: it asks for the next message when the last one is read.
type chunks struct {
	stream importStream
	tenant string
	rest   []byte
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.stream.Recv()
		if err != nil {
			return 0, err // io.EOF ends the file as it ends the stream
		}
		if m.GetTenant() != "" && m.GetTenant() != c.tenant {
			return 0, rpc.Invalid("tenant", "a file is for one tenant: %q, then %q", c.tenant, m.GetTenant())
		}
		c.rest = m.GetData()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// importer is one import under way.
type importer struct {
	server *Server
	stream importStream
	tenant string
	page   []store.Registration
	tokens map[string]bool // of the page
	total  notifierv1.Progress
}

func (im *importer) run(ctx context.Context, rows *imports.Reader) error {
	for {
		reg, err := rows.Next()
		var refusal *imports.RowError
		var header *imports.HeaderError
		switch {
		case errors.Is(err, io.EOF):
			return im.flush(ctx)
		case errors.As(err, &header):
			im.total.Rows++
			return im.refuse(header.Row)
		case errors.As(err, &refusal):
			im.total.Rows++
			if err := im.refuse(refusal); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		im.total.Rows++
		// A token that comes twice belongs to the later row, which therefore needs a page of its own.
		if im.tokens[reg.Token] || len(im.page) == importPage {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
		im.page, im.tokens[reg.Token] = append(im.page, reg), true
	}
}

func (im *importer) refuse(r *imports.RowError) error {
	im.total.Refused++
	return im.stream.Send(&notifierv1.ImportDevicesResponse{Message: &notifierv1.ImportDevicesResponse_Refusal{
		Refusal: &notifierv1.Refusal{Line: r.Line, Field: r.Field, Message: r.Message},
	}})
}

// flush writes the page with its events and its line in the audit trail, and tells how far the import is.
func (im *importer) flush(ctx context.Context) error {
	if len(im.page) == 0 {
		return nil
	}
	st := im.server.store
	var counts store.Registered
	err := pg.InTx(ctx, st.Pool, func(tx pgx.Tx) error {
		var err error
		if counts, err = st.Register(ctx, tx, im.tenant, im.page); err != nil || counts.Inserted+counts.Updated == 0 {
			return err
		}
		return auth.Record(ctx, tx, st.Outbox, auth.Entry{
			Tenant: im.tenant, Service: store.Service, Action: "ImportDevices", Target: "devices",
			Detail: fmt.Sprintf("up to row %d: %d inserted, %d updated", im.total.GetRows(), counts.Inserted, counts.Updated),
			At:     st.Clock.Now(),
		})
	})
	if err != nil {
		return fmt.Errorf("import devices: %w", err)
	}
	st.Outbox.Nudge()
	im.total.Inserted += counts.Inserted
	im.total.Updated += counts.Updated
	im.total.Unchanged += counts.Unchanged
	im.page = im.page[:0]
	clear(im.tokens)
	return im.stream.Send(&notifierv1.ImportDevicesResponse{Message: &notifierv1.ImportDevicesResponse_Progress{Progress: im.progress()}})
}

// progress is a copy: the message may still be on its way while the next page is counted.
func (im *importer) progress() *notifierv1.Progress {
	return &notifierv1.Progress{
		Rows: im.total.GetRows(), Inserted: im.total.GetInserted(), Updated: im.total.GetUpdated(),
		Unchanged: im.total.GetUnchanged(), Refused: im.total.GetRefused(),
	}
}
