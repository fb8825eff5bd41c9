package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Process is the environment that every process reads (DESIGN 5).
type Process struct {
	ConfigPath  string
	NATSURL     string
	NATSCreds   string // a credentials file, or the seed of an nkey
	NATSCA      string // authorities that the NATS server's certificate is held against; "": the machine's own
	PostgresDSN string
	GRPCAddr    string
	HTTPAddr    string
	TLSCert     string // certificate chain that gRPC is served with; "": plaintext
	TLSKey      string
	Log         string // "level" or "level,format": "info,json"
	// Watch are files, and folders of files, that the process was started with: it ends when they change, to be started again.
	Watch []string
	// WatchSpread is how long after the replica before it has ended it does so, for they end one after another; 0: at once.
	WatchSpread time.Duration
}

const maxSpread = time.Hour

// devPorts number the services: n has gRPC on 7100 + n and HTTP on 8100 + n.
var devPorts = map[string]int{"scheduler": 1, "payouts": 2, "recurrences": 3, "notifier": 4}

// FromEnv reads the environment; defaults are the dev ports of the service. Addresses default to this machine alone, so
// that nothing is open to a network by accident.
func FromEnv(service string, getenv func(string) string) (Process, error) {
	n, ok := devPorts[service]
	if !ok {
		return Process{}, fmt.Errorf("service %q is not known", service)
	}
	or := func(key, fallback string) string {
		if v := getenv(key); v != "" {
			return v
		}
		return fallback
	}
	p := Process{
		ConfigPath:  getenv("AGOGO_CONFIG"),
		NATSURL:     or("AGOGO_NATS_URL", "nats://127.0.0.1:4222"),
		NATSCreds:   getenv("AGOGO_NATS_CREDS"),
		NATSCA:      getenv("AGOGO_NATS_CA"),
		PostgresDSN: getenv("AGOGO_POSTGRES_DSN"),
		GRPCAddr:    or("AGOGO_GRPC_ADDR", "127.0.0.1:"+strconv.Itoa(7100+n)),
		HTTPAddr:    or("AGOGO_HTTP_ADDR", "127.0.0.1:"+strconv.Itoa(8100+n)),
		TLSCert:     getenv("AGOGO_TLS_CERT"),
		TLSKey:      getenv("AGOGO_TLS_KEY"),
		Log:         or("AGOGO_LOG", "info"),
	}
	spread, err := checkSpread(or("AGOGO_WATCH_SPREAD", "30s"))
	p.WatchSpread = spread
	if list := getenv("AGOGO_WATCH"); list != "" {
		p.Watch = strings.Split(list, ",")
	}
	return p, errors.Join(
		err,
		p.checkFiles(),
		checkNATS(p.NATSURL),
		checkListen("AGOGO_GRPC_ADDR", p.GRPCAddr),
		checkListen("AGOGO_HTTP_ADDR", p.HTTPAddr),
	)
}

func (p Process) checkFiles() error {
	var faults []error
	if p.ConfigPath == "" {
		faults = append(faults, errors.New("AGOGO_CONFIG is not set: name the tenants file"))
	}
	if p.PostgresDSN == "" {
		faults = append(faults, errors.New("AGOGO_POSTGRES_DSN is not set: name the database, postgres://user:password@host:port/name"))
	}
	if (p.TLSCert == "") != (p.TLSKey == "") {
		faults = append(faults, errors.New("AGOGO_TLS_CERT and AGOGO_TLS_KEY belong together: set both to serve gRPC with TLS, or neither"))
	}
	files := []struct{ key, path string }{
		{"AGOGO_NATS_CREDS", p.NATSCreds}, {"AGOGO_NATS_CA", p.NATSCA}, {"AGOGO_TLS_CERT", p.TLSCert}, {"AGOGO_TLS_KEY", p.TLSKey},
	}
	for _, path := range p.Watch {
		files = append(files, struct{ key, path string }{"AGOGO_WATCH", path})
	}
	for _, f := range files {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.key, err))
		}
	}
	return errors.Join(faults...)
}

// checkNATS checks a list of servers without repeating it: a password may be inside.
func checkNATS(list string) error {
	for server := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("AGOGO_NATS_URL: not an address: write nats://host:port or tls://host:port, several with commas between")
		}
	}
	return nil
}

func checkSpread(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxSpread {
		return 0, fmt.Errorf("AGOGO_WATCH_SPREAD: %q is no time from 0s to %s: write one such as 30s", s, maxSpread)
	}
	return d, nil
}

func checkListen(key, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port: write one such as 127.0.0.1:7101 or :7101", key, addr)
	}
	return nil
}
