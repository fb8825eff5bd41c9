package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// partitions lists the days, relative to today in UTC, that have a partition.
func (b *bed) partitions(ctx context.Context) ([]int, error) {
	rows, err := b.pool.Query(ctx, `SELECT to_date(right(c.relname, 8), 'YYYYMMDD') - (now() AT TIME ZONE 'UTC')::date
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'outbox_parcels'::regclass AND c.relname ~ '\d{8}$' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int])
}

func (b *bed) awaitPartitions(want ...int) {
	b.t.Helper()
	var got []int
	await(b.t, fmt.Sprintf("partitions %v", want), func(ctx context.Context) (ok bool, err error) {
		got, err = b.partitions(ctx)
		return cmp.Equal(want, got), err
	})
}

func (b *bed) age(days int, where string) {
	b.t.Helper()
	b.exec(fmt.Sprintf("UPDATE outbox_parcels SET created_at = created_at - make_interval(days => %d) WHERE %s", days, where))
}

func (b *bed) count(sql string) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.t.Context(), sql).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// Without partitions rows go to the net; upkeep moves today's into their partition, and the relay finds them before,
// during and after.
func TestUpkeepMakesTheComingDays(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	b.forgetPartitions()
	msgs, want := load([]string{"A"}, 10, 10)
	b.append(o, msgs...)
	if n := b.count("SELECT sum(messages) FROM outbox_default"); n != 100 {
		t.Fatalf("%d rows in the default partition", n)
	}
	b.run(o)
	b.awaitPartitions(0, 1, 2, 3)
	b.awaitMarked(100)
	if n := b.count("SELECT count(*) FROM outbox_default"); n != 0 {
		t.Errorf("%d rows stayed in the default partition", n)
	}
	b.checkStream("A", want)
}

// forgetPartitions makes it look as if the service had been off for longer than partitions were made ahead.
func (b *bed) forgetPartitions() {
	b.t.Helper()
	b.exec(`DO $$ DECLARE p text; BEGIN
		FOR p IN SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname ~ '^outbox_\d{8}$'
		LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$`)
}

func TestUpkeepDropsOldDaysThatAreDone(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	for day := range 7 {
		b.exec(fmt.Sprintf("SELECT outbox_add_partition((now() AT TIME ZONE 'UTC')::date - %d)", day))
	}
	o := b.outbox()
	for day := range 8 { // the last one has no partition
		b.append(o, message("A", fmt.Sprintf("done%d", day), 0))
		b.append(o, message("A", fmt.Sprintf("waits%d", day), 0))
		b.age(day, fmt.Sprintf("keys[1] IN ('done%d', 'waits%d')", day, day))
	}
	b.exec("UPDATE outbox_parcels SET waits = false, marked_at = now() WHERE keys[1] ~ 'done' OR keys[1] = 'waits4'")
	// The stream does not exist: what waits goes on waiting.
	stop := b.run(o)
	b.awaitPartitions(-6, -5, -3, -2, -1, 0, 1, 2, 3) // day 4 is done and older than 72 hours
	await(t, "the net is cleared", func(context.Context) (bool, error) {
		return b.count("SELECT count(*) FROM outbox_default") == 1, nil
	})
	if n := b.count("SELECT count(*) FROM outbox WHERE published_at IS NULL"); n != 7 {
		t.Errorf("%d rows wait, want 7: an unpublished row was dropped", n)
	}
	stop()
	// Once they are published, nothing of those days is needed any more.
	b.stream("A")
	second := b.outbox()
	stop = b.run(second)
	b.awaitWaiting(0)
	stop()
	b.run(b.outbox())
	b.awaitPartitions(-3, -2, -1, 0, 1, 2, 3)
}

// A row of the net that is marked while upkeep is at it is remembered, whether it is dropped now or later: a service that forgot
// what it has told would look like one restored from a backup.
func TestRowMarkedDuringUpkeepIsRemembered(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	o := b.outbox()
	b.append(o, message("A", "done", 0))
	b.append(o, message("A", "late", 0))
	last := b.count("SELECT max(seq) FROM outbox_parcels")
	b.age(9, "true")
	b.exec("UPDATE outbox_parcels SET waits = false, marked_at = now() WHERE keys[1] = 'done'")
	release := b.lock("SELECT FROM outbox_dropped FOR UPDATE")
	dropped := make(chan error, 1)
	drop := "SELECT outbox_drop_partitions(now() - interval '3 days')"
	go func() {
		_, err := b.pool.Exec(context.Background(), drop)
		dropped <- err
	}()
	b.awaitLockWaiters(1)
	b.exec("UPDATE outbox_parcels SET waits = false, marked_at = now() WHERE keys[1] = 'late'")
	release()
	if err := <-dropped; err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"during", "after"} {
		known, err := outbox.ReadKnown(t.Context(), b.pool)
		if err != nil || known.Seq != int64(last) {
			t.Errorf("marked %s upkeep: the newest message known is %d, %v; want %d", when, known.Seq, err, last)
		}
		b.exec(drop)
	}
	if n := b.count("SELECT count(*) FROM outbox_parcels"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestReplicasKeepUpTogether(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	for range 4 {
		b.run(b.outbox())
	}
	b.awaitPartitions(0, 1, 2, 3)
}

// Upkeep works while others write: nobody fails, nothing is lost between the net and the partition.
func TestWritersDoNotNoticeUpkeep(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	o := b.outbox()
	const writers, each = 4, 50
	var wg sync.WaitGroup
	b.forgetPartitions()
	begin := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			<-begin
			for n := range each {
				b.append(o, message("A", fmt.Sprintf("w%d", w), n))
			}
		})
	}
	close(begin)
	b.run(o)
	b.run(b.outbox(func(c *outbox.Config, _ *outbox.Deps) { c.Keep = 24 * time.Hour }))
	wg.Wait()
	b.awaitMarked(writers * each)
	b.awaitPartitions(0, 1, 2, 3)
	want := map[string]int{}
	for w := range writers {
		want[fmt.Sprintf("w%d", w)] = each
	}
	b.checkStream("A", want)
}

// Squeezed by LZ4 or not at all, in the net and in every day's partition, also those that upkeep makes.
func TestParcelsAreSqueezedAlike(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.exec("SELECT outbox_add_partition((now() AT TIME ZONE 'UTC')::date + 9)")
	rows, err := b.pool.Query(t.Context(), `SELECT a.attname || ' ' || a.attstorage::text || a.attcompression::text FROM pg_attribute a
		WHERE (a.attrelid = 'outbox_parcels'::regclass OR a.attrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'outbox_parcels'::regclass))
		  AND a.attname IN ('keys', 'msg_ids', 'subjects', 'headers', 'payloads')
		GROUP BY 1 HAVING count(*) = 7 ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	lz4 := []string{"headers xl", "keys xl", "msg_ids xl", "payloads xl", "subjects xl"}
	whole := []string{"headers e", "keys e", "msg_ids e", "payloads e", "subjects e"}
	if !cmp.Equal(got, lz4) && !cmp.Equal(got, whole) {
		t.Errorf("the parent and its six partitions store %q", got)
	}
}
