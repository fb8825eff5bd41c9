package servicetest

import (
	"errors"
	"io"

	"google.golang.org/grpc"

	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
)

// Imported is the answer to an import.
type Imported struct {
	Refused  []*importsv1.ImportRefusal
	Progress int // how often it was told
	Summary  *importsv1.ImportProgress
}

// Import sends a tenant's file on a stream in chunks of size bytes.
func Import(
	s grpc.BidiStreamingClient[importsv1.ImportRequest, importsv1.ImportResponse], tenant, format string, data []byte, size int,
) (got Imported, err error) {
	sent := make(chan struct{})
	defer func() { <-sent }()
	go func() {
		defer close(sent)
		m := &importsv1.ImportRequest{Options: &importsv1.ImportOptions{Tenant: tenant, Format: format}}
		for {
			n := min(len(data), size)
			m.Data, data = data[:n], data[n:]
			if s.Send(m) != nil {
				return // the server's word is what Recv returns
			}
			if m = (&importsv1.ImportRequest{}); len(data) == 0 {
				_ = s.CloseSend()
				return
			}
		}
	}()
	for {
		a, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		switch {
		case a.GetRefusal() != nil:
			got.Refused = append(got.Refused, a.GetRefusal())
		case a.GetProgress() != nil:
			got.Progress++
		default:
			got.Summary = a.GetSummary()
		}
	}
}
