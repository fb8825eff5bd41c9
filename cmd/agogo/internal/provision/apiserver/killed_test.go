//go:build apiserver && linux

package apiserver_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain is also the process that a test kills.
func TestMain(m *testing.M) {
	if os.Getenv("AGOGO_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	child := exec.Command("sleep", "3600")
	child.ExtraFiles = []*os.File{os.NewFile(3, "alive")}
	ended, err := start(child)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString("started")
	<-ended
}

// A test that is killed leaves no API server behind, which would take a processor and its port for ever.
func TestWhatWasStartedEndsWithAKilledTest(t *testing.T) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "AGOGO_TEST_PARENT=1")
	parent.ExtraFiles = []*os.File{theirs}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if _, err := io.ReadFull(out, make([]byte, len("started"))); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	// The end of what the child writes to comes when nobody has it open any more.
	if err := ours.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the child outlives its parent: %v", err)
	}
}
