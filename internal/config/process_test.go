package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v
			}
		}
		return ""
	}
}

func TestFromEnvDefaults(t *testing.T) {
	t.Parallel()
	for service, ports := range map[string][2]string{
		"scheduler": {"7101", "8101"}, "payouts": {"7102", "8102"}, "recurrences": {"7103", "8103"}, "notifier": {"7104", "8104"},
	} {
		got, err := FromEnv(service, env("AGOGO_CONFIG=t.yaml", "AGOGO_POSTGRES_DSN=postgres://h/db"))
		want := Process{
			ConfigPath: "t.yaml", PostgresDSN: "postgres://h/db", NATSURL: "nats://127.0.0.1:4222", Log: "info", WatchSpread: 30 * time.Second,
			GRPCAddr: "127.0.0.1:" + ports[0], HTTPAddr: "127.0.0.1:" + ports[1],
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", service, err, d)
		}
	}
}

func TestFromEnvReadsAll(t *testing.T) {
	t.Parallel()
	got, err := FromEnv("payouts", env("AGOGO_CONFIG=t.yaml", "AGOGO_POSTGRES_DSN=postgres://h/db", "AGOGO_LOG=debug,json",
		"AGOGO_NATS_URL=tls://a:4222, nats://b:4222", "AGOGO_NATS_CREDS=testdata/client-secret", "AGOGO_NATS_CA=testdata/client-secret",
		"AGOGO_TLS_CERT=testdata/client-secret", "AGOGO_TLS_KEY=testdata/client-secret", "AGOGO_GRPC_ADDR=:1", "AGOGO_HTTP_ADDR=[::1]:0",
		"AGOGO_WATCH=testdata,testdata/client-secret", "AGOGO_WATCH_SPREAD=0s"))
	want := Process{
		ConfigPath: "t.yaml", PostgresDSN: "postgres://h/db", Log: "debug,json", NATSURL: "tls://a:4222, nats://b:4222",
		NATSCreds: "testdata/client-secret", NATSCA: "testdata/client-secret", TLSCert: "testdata/client-secret", TLSKey: "testdata/client-secret",
		GRPCAddr: ":1", HTTPAddr: "[::1]:0", Watch: []string{"testdata", "testdata/client-secret"},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, d)
	}
}

func TestFromEnvNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := FromEnv("payouts", env("AGOGO_NATS_URL=agogo:hunter2@h", "AGOGO_NATS_CREDS=none.creds", "AGOGO_TLS_KEY=none.key", "AGOGO_GRPC_ADDR=7102",
		"AGOGO_HTTP_ADDR=h:http", "AGOGO_WATCH=testdata,none", "AGOGO_WATCH_SPREAD=-1s"))
	want := `AGOGO_WATCH_SPREAD: "-1s" is no time from 0s to 1h0m0s: write one such as 30s
AGOGO_CONFIG is not set: name the tenants file
AGOGO_POSTGRES_DSN is not set: name the database, postgres://user:password@host:port/name
AGOGO_TLS_CERT and AGOGO_TLS_KEY belong together: set both to serve gRPC with TLS, or neither
AGOGO_NATS_CREDS: stat none.creds: no such file or directory
AGOGO_TLS_KEY: stat none.key: no such file or directory
AGOGO_WATCH: stat none: no such file or directory
AGOGO_NATS_URL: not an address: write nats://host:port or tls://host:port, several with commas between
AGOGO_GRPC_ADDR: "7102" is not host:port: write one such as 127.0.0.1:7101 or :7101
AGOGO_HTTP_ADDR: "h:http" is not host:port: write one such as 127.0.0.1:7101 or :7101`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := FromEnv("console", env()); err == nil {
		t.Error("an unknown service was given ports")
	}
}
