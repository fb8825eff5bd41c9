package event_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

var asProtojson = protojson.MarshalOptions{UseProtoNames: true}

// Whatever a body holds, it is written and read as protojson would, in every message of the package.
func TestBodiesAreProtojson(t *testing.T) {
	t.Parallel()
	messages := eventsv1.File_agogo_events_v1_events_proto.Messages()
	for i := range messages.Len() {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(messages.Get(i).FullName())
		if err != nil {
			t.Fatal(err)
		}
		t.Run(string(messages.Get(i).Name()), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				m := mt.New().Interface()
				fill(t, m.ProtoReflect(), 0)
				want, wantErr := asProtojson.Marshal(m)
				got, err := event.Encode(m)
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("error %v, protojson has %v", err, wantErr)
				}
				if err != nil {
					return
				}
				if !bytes.Equal(compact(t, got), compact(t, want)) {
					t.Fatalf("written as\n%s, protojson writes\n%s", got, want)
				}
				for _, body := range [][]byte{got, want} {
					back := m.ProtoReflect().New().Interface()
					if err := event.Decode(body, back); err != nil || !proto.Equal(m, back) {
						t.Fatalf("read back as %v, %v; was %v", back, err, m)
					}
				}
			})
		})
	}
}

func compact(t *rapid.T, body []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, body); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return b.Bytes()
}

// fill gives every field a value now and then, odd ones too.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if depth > 3 || !rapid.Bool().Draw(t, string(f.Name())) {
			continue
		}
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			value := entries.NewValue()
			if f.MapValue().Kind() == protoreflect.MessageKind {
				fill(t, value.Message(), depth+1)
			} else {
				value = scalar(t, f.MapValue())
			}
			entries.Set(scalar(t, f.MapKey()).MapKey(), value)
		case f.IsList():
			list := m.Mutable(f).List()
			for range rapid.IntRange(1, 3).Draw(t, "length") {
				if f.Kind() == protoreflect.MessageKind {
					fill(t, list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(scalar(t, f))
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			if stamp, ok := m.Mutable(f).Message().Interface().(*timestamppb.Timestamp); ok {
				stamp.Seconds = rapid.Int64Range(-70_000_000_000, 260_000_000_000).Draw(t, "seconds") // beyond what is valid, at both ends
				stamp.Nanos = rapid.SampledFrom([]int32{0, 0, 0, 1, 120_000_000, 999_999_999}).Draw(t, "nanos")
				continue
			}
			fill(t, m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, scalar(t, f))
		}
	}
}

func scalar(t *rapid.T, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.OneOf(
			rapid.StringMatching(`[ -~]{0,20}`), rapid.String(), rapid.Just("24\u00a0000 FCFA \"<&>\\\n\x7f"), rapid.Just("\xff"),
		).Draw(t, "text"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "number"))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "long"))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "counter"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "truth"))
	default:
		t.Fatalf("no values for a %s", f.Kind())
		return protoreflect.Value{}
	}
}

// Bodies come from outside too: what protojson refuses is refused, and what it reads is read as it reads it.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"payout_id":"p","seq":1,"net":{"minor":"24000","currency":"XOF"},"nominal_time":"2025-01-24T23:59:00Z"}`,
		`{"seq":01}`, `{"seq":1.0}`, `{"seq":"1"}`, `{"seq":-0}`, `{"seq":2147483648}`, `{"net":{"minor":24000}}`, `{"net":null}`, `{"net":{}}`, `{"net":{},"net":{}}`,
		`{"tenant":"t","payout_id":"p"}`, `{"payoutId":"p"}`, `{"payout_id":"p",}`, `{"payout_id":"p"}x`, `{"payout_id":"\u0041"}`, `{"payout_id":"é"}`,
		`{"nominal_time":"0000-01-24T23:59:00Z"}`, `{"nominal_time":"2025-01-24T23:59:60Z"}`, `{"nominal_time":"2025-01-24T23:59:00.5Z"}`, `{"unheard":1}`, `{ }`, `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want, got eventsv1.Payout
		wantErr := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, &want)
		err := event.Decode(body, &got)
		if (err == nil) != (wantErr == nil) || err == nil && !proto.Equal(&want, &got) {
			t.Errorf("%q: read as %v, %v; protojson reads %v, %v", body, &got, err, &want, wantErr)
		}
	})
}

// Most bodies of a busy evening are these: each must go along its struct, or an evening costs what it did.
func TestUsualBodiesAreCheap(t *testing.T) {
	money := &eventsv1.Money{Minor: 24000, Currency: "XOF"}
	payout := &eventsv1.Payout{
		PayoutId: "p", Tenant: "t", State: "succeeded", Reason: &eventsv1.Reason{Code: "x"}, Gross: money, Commission: money, Net: money, Seq: 1,
		NominalTime: timestamppb.New(time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)),
	}
	for _, m := range []proto.Message{payout, &eventsv1.Notification{NotificationId: "n", Pushes: 2}, &eventsv1.Charge{ChargeId: "c", Amount: money}} {
		body, err := event.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = event.Encode(m) }); n > 5 {
			t.Errorf("%T is written with %v allocations", m, n)
		}
		back := m.ProtoReflect().New().Interface()
		if n := testing.AllocsPerRun(100, func() { _ = event.Decode(body, back) }); n > 20 {
			t.Errorf("%T is read with %v allocations", m, n)
		}
	}
}
