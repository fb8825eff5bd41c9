package rpc_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/rpc"
)

func TestPageSize(t *testing.T) {
	t.Parallel()
	for requested, want := range map[int32]int{0: 100, -5: 100, 1: 1, 1000: 1000, 1001: 1000, 1 << 30: 1000} {
		if got := rpc.PageSize(requested); got != want {
			t.Errorf("PageSize(%d) = %d, want %d", requested, got, want)
		}
	}
}

func TestPageTokenComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "key")
		token := rpc.PageToken(key...)
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("token %q does not fit an address", token)
		}
		got, err := rpc.ParsePageToken(token, len(key))
		if d := cmp.Diff(key, got); err != nil || d != "" {
			t.Fatalf("error %v (-want +got):\n%s", err, d)
		}
		if _, err := rpc.ParsePageToken(token, len(key)+1); err == nil {
			t.Fatal("a token of another list was taken")
		}
	})
}

func TestParsePageTokenRefuses(t *testing.T) {
	t.Parallel()
	if key, err := rpc.ParsePageToken("", 2); key != nil || err != nil {
		t.Errorf("no token: %v, %v", key, err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	for _, token := range []string{
		"%", "=", "ab c", encode([]byte("[")), encode([]byte("null")), encode([]byte(`{"a":1}`)), encode([]byte(`["a",1]`)),
		encode([]byte(`["a"]`)), encode([]byte(`["a","b"] x`)), rpc.PageToken(strings.Repeat("x", 4096), "b"),
	} {
		key, err := rpc.ParsePageToken(token, 2)
		if key != nil || status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(status.Convert(err).Message(), "page_token: ") {
			t.Errorf("token %.40q: %v, %v", token, key, err)
		}
	}
}

func FuzzParsePageToken(f *testing.F) {
	f.Add(rpc.PageToken("a", "b"))
	f.Add("%%%")
	f.Fuzz(func(t *testing.T, token string) {
		key, err := rpc.ParsePageToken(token, 2)
		if err == nil && token != "" && len(key) != 2 {
			t.Fatalf("token %q gave %v", token, key)
		}
	})
}
