package harness

import (
	"bytes"
	"net"
	"sync"

	"google.golang.org/grpc"
)

// Collector takes OpenTelemetry traces in, as OTEL_EXPORTER_OTLP_ENDPOINT names one, and keeps their bytes.
type Collector struct {
	Addr   string
	server *grpc.Server
	mu     sync.Mutex
	got    bytes.Buffer
}

// Collect starts a collector.
func Collect() (*Collector, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Collector{Addr: l.Addr().String()}
	c.server = grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		var body []byte
		if err := s.RecvMsg(&body); err != nil {
			return err
		}
		c.mu.Lock()
		c.got.Write(body)
		c.mu.Unlock()
		return s.SendMsg(&[]byte{}) // an empty message accepts everything
	}))
	go func() { _ = c.server.Serve(l) }()
	return c, nil
}

// Bytes are all exports so far, in protobuf: texts stand in it as they are.
func (c *Collector) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.got.Bytes())
}

// Stop ends the collector.
func (c *Collector) Stop() { c.server.Stop() }

// raw leaves messages as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

func (raw) Name() string { return "raw" }
