package book

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var evening = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

// A book and its reloaded file agree, and both agree with plain counting, whatever is paid in whatever order.
func TestTheBookIsWhatWasPaid(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprint(run))
		b := New("p")
		journal, err := Persist(path, b)
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]*counted{}
		now := evening
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "passed")) * time.Second)
			p := Payment{fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "reference")), "peer", rapid.Int64Range(1, 9).Draw(t, "amount"), "XOF", "pos", 0}
			v := Verdict{Status: rapid.SampledFrom([]Status{Pending, Success, Failed}).Draw(t, "status")}
			if v.Status == Pending {
				v.Settles, v.SettleAt = rapid.SampledFrom([]Status{Success, Failed}).Draw(t, "settles"), now.Add(2*time.Second)
			}
			if _, err := b.Record(p, v, now, false); err != nil {
				t.Fatal(err)
			}
			c := model[p.Reference]
			if c == nil {
				c = &counted{}
				model[p.Reference] = c
			}
			c.record(v, p.Amount)
		}
		if err := journal.Close(); err != nil {
			t.Fatal(err)
		}
		reloaded := New("p")
		second, err := Persist(path, reloaded)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = second.Close() }()
		b.journal = nil
		for _, at := range []time.Time{now, now.Add(time.Hour)} {
			for reference, c := range model {
				first, _, err := b.Lookup(reference, at)
				if err != nil {
					t.Fatal(err)
				}
				again, _, err := reloaded.Lookup(reference, at)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(first, again); diff != "" {
					t.Fatalf("the file says otherwise: %s", diff)
				}
				moved, minor := c.at(at)
				if first.Moved != moved || first.MovedMinor != minor || moved > 0 != (first.Status == Success) {
					t.Fatalf("%s at %v: got %+v, want %d times, %d", reference, at, first, moved, minor)
				}
			}
		}
	})
}

// counted is what was asked for one reference, in the order of asking.
type counted struct {
	verdicts []Verdict
	amounts  []int64
}

func (c *counted) record(v Verdict, amount int64) {
	c.verdicts, c.amounts = append(c.verdicts, v), append(c.amounts, amount)
}

func (c *counted) at(now time.Time) (moved int, minor int64) {
	for i, v := range c.verdicts {
		if v.Status == Success || v.Status == Pending && v.Settles == Success && !v.SettleAt.After(now) {
			moved++
			minor += c.amounts[i]
		}
	}
	return moved, minor
}

func TestFloatIsWhatIsLeftAfterReloading(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	b := New("p")
	j, err := Persist(path, b)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range []Verdict{
		{Status: Success}, {Status: Failed}, {Status: Pending, Settles: Failed, SettleAt: evening.Add(time.Second)}, {Status: Pending},
	} {
		if _, err := b.Record(Payment{Reference: fmt.Sprint(i), Amount: 100}, v, evening, false); err != nil {
			t.Fatal(err)
		}
	}
	_ = j.Close()
	again := New("p")
	j, err = Persist(path, again)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	again.Fill(1000)
	if left, _ := again.Float(); left != 700 {
		t.Errorf("left %d", left)
	}
	if _, err := again.Record(Payment{Reference: "all", Amount: 800}, Verdict{Status: Success}, evening.Add(time.Second), false); err != nil {
		t.Errorf("what came back is not used: %v", err)
	}
	if _, err := again.Record(Payment{Reference: "more", Amount: 1}, Verdict{Status: Success}, evening.Add(time.Second), false); err == nil {
		t.Error("more than there is")
	}
}

// What is reversed is back on the account with its fee, once, also after the file was read again; what moved stays in the book.
func TestWhatIsReversedComesBackOnceWithItsFee(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	b := New("p")
	j, err := Persist(path, b)
	if err != nil {
		t.Fatal(err)
	}
	b.Fill(1000)
	for reference, v := range map[string]Verdict{
		"paid": {Status: Success}, "kept": {Status: Success}, "failed": {Status: Failed},
		"late": {Status: Pending, Settles: Success, SettleAt: evening.Add(time.Minute)},
	} {
		if _, err := b.Record(Payment{Reference: reference, Amount: 100, Fee: 5}, v, evening, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, reference := range []string{"failed", "late", "nobody"} {
		if _, err := b.Reverse(reference, evening); !errors.Is(err, ErrNotMoved) {
			t.Errorf("%s: %v", reference, err)
		}
	}
	left := func(b *Book) int64 { minor, _ := b.Float(); return minor }
	if got := left(b); got != 1000-3*105 {
		t.Fatalf("before: %d left", got)
	}
	for range 2 {
		e, err := b.Reverse("paid", evening.Add(time.Second))
		if err != nil || !e.ReversedAt.Equal(evening.Add(time.Second)) || e.Moved != 1 || e.MovedMinor != 100 || e.Fee != 5 {
			t.Errorf("got %+v, %v", e, err)
		}
		if got := left(b); got != 1000-2*105 {
			t.Errorf("%d left", got)
		}
	}
	_ = j.Close()
	again := New("p")
	if j, err = Persist(path, again); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	again.Fill(1000)
	if e, ok, err := again.Lookup("paid", evening.Add(time.Hour)); err != nil || !ok || e.ReversedAt.IsZero() || left(again) != 1000-2*105 {
		t.Errorf("after reading the file: %+v, %v, %v, %d left", e, ok, err, left(again))
	}
	if e, err := again.Reverse("late", evening.Add(time.Hour)); err != nil || e.ReversedAt.IsZero() || left(again) != 1000-105 {
		t.Errorf("what was pending: %+v, %v, %d left", e, err, left(again))
	}
}

// No bytes in the file make the simulator panic, and what it accepts it accepts again.
func FuzzPersist(f *testing.F) {
	f.Add([]byte(`{"provider":"p","reference":"r","peer":"x","amount":5,"currency":"XOF","status":2,"moved":1,"moved_minor":5,"requests":1,"first":1,"last":2}` + "\n"))
	f.Add([]byte(`{"provider":"p","reference":"r","status":1,"pending":[{"at":1,"amount":5,"to":3}]}` + "\n" + `{"provider"`))
	f.Add([]byte(`{"provider":"p","status":1,"pending":[{"at":1}]}` + "\n0")) // becomes a status that there is not
	f.Add([]byte("\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "book")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		b := New("p")
		j, err := Persist(path, b)
		if err != nil {
			return
		}
		if err := b.Each(evening, func(Entry) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Persist(path, New("p"))
		if err != nil {
			t.Fatalf("accepted once, then refused: %v", err)
		}
		_ = again.Close()
	})
}

// What is refunded in parts is back on the account, no more than moved, also after the file was read again.
func TestARefundIsAtMostWhatMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	b := New("p")
	j, err := Persist(path, b)
	if err != nil {
		t.Fatal(err)
	}
	b.Fill(1000)
	for reference, v := range map[string]Verdict{"paid": {Status: Success}, "failed": {Status: Failed}} {
		if _, err := b.Record(Payment{Reference: reference, Amount: 100}, v, evening, true); err != nil {
			t.Fatal(err)
		}
	}
	later := evening.Add(time.Hour)
	for _, wrong := range []struct {
		reference string
		minor     int64
	}{{"failed", 0}, {"nobody", 1}, {"paid", 101}, {"paid", -1}} {
		if _, err := b.Refund(wrong.reference, wrong.minor, later); !errors.Is(err, ErrNotMoved) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	check := func(b *Book, refunded int64) {
		t.Helper()
		e, _, err := b.Lookup("paid", later)
		left, _ := b.Float()
		if err != nil || e.Refunded != refunded || !e.RefundedAt.Equal(later) || e.Status != Success || e.MovedMinor != 100 || left != 900+refunded {
			t.Errorf("%+v with %d left, %v", e, left, err)
		}
	}
	if _, err := b.Refund("paid", 30, later); err != nil {
		t.Error(err)
	}
	check(b, 30)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again := New("p")
	j, err = Persist(path, again)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	again.Fill(1000)
	check(again, 30)
	if _, err := again.Refund("paid", 71, later); !errors.Is(err, ErrNotMoved) {
		t.Errorf("more than is left: %v", err)
	}
	if _, err := again.Refund("paid", 0, later); err != nil {
		t.Error(err)
	}
	check(again, 100)
	if _, err := again.Refund("paid", 0, later); !errors.Is(err, ErrNotMoved) {
		t.Errorf("nothing is left: %v", err)
	}
}
