package natsserver_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/agogopay/agogo/internal/stream/natsserver"
)

// TestMain is also the server that a test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AGOGO_TEST_STORE"); dir != "" {
		os.Exit(serve(dir))
	}
	goleak.VerifyTestMain(m)
}

func serve(dir string) int {
	s, err := natsserver.Start(context.Background(), natsserver.Options{StoreDir: dir})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(s.URL())
	select {}
}

func TestAStartAfterKill9JustWorks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "AGOGO_TEST_STORE="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	line := bufio.NewScanner(out)
	if !line.Scan() {
		t.Fatal("the server said nothing")
	}
	js := connect(t, line.Text(), dir+"/agogo.creds")
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := js.Publish(t.Context(), "keep", []byte("me"), jetstream.WithMsgID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()

	s := start(t, natsserver.Options{StoreDir: dir})
	kept, err := connect(t, s.URL(), s.Creds()).Stream(t.Context(), "KEEP")
	if err != nil {
		t.Fatal(err)
	}
	if n := kept.CachedInfo().State.Msgs; n != 100 {
		t.Errorf("%d of 100 acknowledged messages are left", n)
	}
}
