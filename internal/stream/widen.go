package stream

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// refusal tells a person which field stands in the way, and how to go on.
func refusal(field string, is, wanted any, remedy string) error {
	return fmt.Errorf("%w: %s is %v, wanted %v: %s", ErrRefused, field, is, wanted, remedy)
}

const recreate = "it cannot be changed; move the messages to a new stream, or delete this one if nothing in it matters"

// widenStream is what a stream becomes: the wanted fields where they take nothing away, everything that is not ours
// (placement, compression, metadata, …) as it is.
func widenStream(info *jetstream.StreamInfo, want jetstream.StreamConfig) (jetstream.StreamConfig, bool, error) {
	is := info.Config
	if err := errors.Join(fixedStreamFields(is, want), limits(info, want), lostSubjects(is.Subjects, want.Subjects)); err != nil {
		return is, false, err
	}
	next := is
	next.Subjects, next.Description, next.Duplicates = want.Subjects, want.Description, want.Duplicates
	next.MaxBytes, next.MaxAge, next.Discard, next.Replicas = want.MaxBytes, want.MaxAge, want.Discard, want.Replicas
	next.MaxMsgs, next.MaxMsgsPerSubject, next.MaxMsgSize = want.MaxMsgs, want.MaxMsgsPerSubject, want.MaxMsgSize
	next.DenyDelete, next.DenyPurge, next.AllowDirect = want.DenyDelete, want.DenyPurge, true
	next.DiscardNewPerSubject, next.NoAck = false, false
	return next, !reflect.DeepEqual(next, is), nil
}

func fixedStreamFields(is, want jetstream.StreamConfig) error {
	var errs []error
	if is.Storage != want.Storage {
		errs = append(errs, refusal("storage", is.Storage, want.Storage, recreate))
	}
	if is.Retention != want.Retention {
		errs = append(errs, refusal("retention", is.Retention, want.Retention, recreate))
	}
	if is.Sealed || is.Mirror != nil {
		errs = append(errs, refusal("sealed or mirror", "set", "unset", "nothing can be published to it; "+recreate))
	}
	if is.DenyDelete && !want.DenyDelete {
		errs = append(errs, refusal("deny_delete", true, false, recreate))
	}
	if is.DenyPurge && !want.DenyPurge {
		errs = append(errs, refusal("deny_purge", true, false, recreate))
	}
	if is.Discard == jetstream.DiscardNew && want.Discard == jetstream.DiscardOld {
		errs = append(errs, refusal("discard", is.Discard, want.Discard, "a full stream would then drop what is in it; raise max_bytes instead"))
	}
	return errors.Join(errs...)
}

func limits(info *jetstream.StreamInfo, want jetstream.StreamConfig) error {
	var errs []error
	is, used := info.Config, info.State.Bytes
	if want.MaxBytes > 0 && used > uint64(want.MaxBytes) {
		errs = append(errs, refusal("max_bytes", is.MaxBytes, want.MaxBytes,
			fmt.Sprintf("%d bytes are in use; ask for at least that, or let the stream empty first", used)))
	}
	if cut := info.TimeStamp.Add(-want.MaxAge); shorter(want.MaxAge, is.MaxAge) && info.State.Msgs > 0 && info.State.FirstTime.Before(cut) {
		errs = append(errs, refusal("max_age", age(is.MaxAge), age(want.MaxAge),
			fmt.Sprintf("messages since %s would be gone at once; archive them and choose an age that keeps them", info.State.FirstTime.UTC().Format(time.RFC3339))))
	}
	if want.Replicas < is.Replicas {
		errs = append(errs, refusal("replicas", is.Replicas, want.Replicas,
			"fewer copies survive fewer failures; set replicas to the current number, or lower it by hand with the nats CLI if you mean it"))
	}
	return errors.Join(errs...)
}

// shorter compares ages, where 0 is without end.
func shorter(a, b time.Duration) bool { return a != 0 && (b == 0 || a < b) }

func age(d time.Duration) string {
	if d == 0 {
		return "unlimited"
	}
	return d.String()
}

func lostSubjects(is, want []string) error {
	var errs []error
	for _, s := range is {
		if !slices.ContainsFunc(want, func(w string) bool { return covers(w, s) }) {
			errs = append(errs, refusal("subjects", s, strings.Join(want, " "),
				"publishers of the dropped subject would fail; keep it, or remove it by hand once nobody publishes there"))
		}
	}
	return errors.Join(errs...)
}

// covers reports whether every subject that matches b also matches a.
func covers(a, b string) bool {
	at, bt := strings.Split(a, "."), strings.Split(b, ".")
	for i, tok := range at {
		if tok == ">" {
			return len(bt) > i
		}
		if i >= len(bt) || bt[i] == ">" || tok != "*" && tok != bt[i] {
			return false
		}
	}
	return len(at) == len(bt)
}

// widenConsumer is what a consumer becomes; what is not ours (a pause, metadata, …) stays.
func widenConsumer(is, want jetstream.ConsumerConfig) (jetstream.ConsumerConfig, bool, error) {
	if err := errors.Join(fixedConsumerFields(is, want), lostFilters(is, want)); err != nil {
		return is, false, err
	}
	next := is
	next.FilterSubject, next.FilterSubjects = "", want.FilterSubjects
	if len(want.FilterSubjects) == 1 { // as the server reports it
		next.FilterSubject, next.FilterSubjects = want.FilterSubjects[0], nil
	}
	next.AckWait, next.BackOff, next.MaxDeliver, next.MaxAckPending = want.AckWait, want.BackOff, want.MaxDeliver, want.MaxAckPending
	next.InactiveThreshold = 0 // a durable that has one is deleted while nobody pulls
	return next, !sameConsumer(next, is), nil
}

func sameConsumer(a, b jetstream.ConsumerConfig) bool {
	a.FilterSubjects, b.FilterSubjects = filters(a), filters(b)
	a.FilterSubject, b.FilterSubject = "", ""
	return reflect.DeepEqual(a, b)
}

func fixedConsumerFields(is, want jetstream.ConsumerConfig) error {
	const remedy = "delete the consumer while its services are stopped, then provision again (limits streams deliver from the beginning)"
	var errs []error
	if is.DeliverPolicy != want.DeliverPolicy {
		errs = append(errs, refusal("deliver_policy", is.DeliverPolicy, want.DeliverPolicy, remedy))
	}
	if is.AckPolicy != want.AckPolicy {
		errs = append(errs, refusal("ack_policy", is.AckPolicy, want.AckPolicy, remedy))
	}
	if is.DeliverSubject != "" {
		errs = append(errs, refusal("deliver_subject", is.DeliverSubject, "a pull consumer", remedy))
	}
	if is.MemoryStorage {
		errs = append(errs, refusal("mem_storage", true, false, remedy))
	}
	// JetStream sends no advisory for messages that a lower limit leaves behind, so nobody would hear of them again.
	if is.MaxDeliver != want.MaxDeliver && want.MaxDeliver > 0 && (is.MaxDeliver < 0 || want.MaxDeliver < is.MaxDeliver) {
		errs = append(errs, refusal("max_deliver", is.MaxDeliver, want.MaxDeliver,
			"messages delivered more often would stay behind in silence; keep the higher number"))
	}
	return errors.Join(errs...)
}

func lostFilters(is, want jetstream.ConsumerConfig) error {
	if len(want.FilterSubjects) == 0 {
		return nil
	}
	current := filters(is)
	if len(current) == 0 {
		current = []string{">"}
	}
	var errs []error
	for _, f := range current {
		if !slices.ContainsFunc(want.FilterSubjects, func(w string) bool { return covers(w, f) }) {
			errs = append(errs, refusal("filter_subjects", f, strings.Join(want.FilterSubjects, " "),
				"messages that match only the dropped filter would never be handled; keep it, or change it by hand once none is left"))
		}
	}
	return errors.Join(errs...)
}

func filters(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}
