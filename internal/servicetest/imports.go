package servicetest

import (
	"errors"
	"io"
)

// Imported is the answer to an import: R is a refusal, P counts rows.
type Imported[R, P any] struct {
	Refused  []*R
	Progress int // how often it was told
	Summary  *P
}

// answer is what each message of the answer to an import has one of.
type answer[R, P any] interface {
	GetRefusal() *R
	GetProgress() *P
	GetSummary() *P
}

// importStream is the client's end of an import.
type importStream[Q, A any] interface {
	Send(*Q) error
	CloseSend() error
	Recv() (A, error)
}

// Import sends a file on a stream: first, with the first chunk of size bytes, and then the others. set puts a chunk into a
// message.
func Import[Q, R, P any, A answer[R, P]](s importStream[Q, A], first *Q, set func(m *Q, chunk []byte), data []byte, size int) (got Imported[R, P], err error) {
	sent := make(chan struct{})
	defer func() { <-sent }()
	go func() {
		defer close(sent)
		for m := first; ; m = new(Q) {
			n := min(len(data), size)
			set(m, data[:n])
			if s.Send(m) != nil {
				return // the server's word is what Recv returns
			}
			if data = data[n:]; len(data) == 0 {
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
