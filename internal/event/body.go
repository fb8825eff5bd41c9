package event

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var encoding = protojson.MarshalOptions{UseProtoNames: true}

// Encode writes an event's body as protojson with proto names.
//
// Bodies are flat: texts, whole numbers, times, amounts, a reason. Those are written along their structs, which costs a tenth of
// asking protobuf's reflection about every field; whatever is anything else is left to protojson as a whole.
func Encode(m proto.Message) ([]byte, error) {
	v := reflect.ValueOf(m)
	if l := layoutOf(v.Type()); l != nil && !v.IsNil() {
		if body, ok := l.write(make([]byte, 0, 1024), v.Elem()); ok {
			return body, nil
		}
	}
	return encoding.Marshal(m)
}

// Decode reads a body; unknown fields are ignored, so that an older reader follows a newer writer. Bodies as Encode writes them
// are read along their structs, all others by protojson.
func Decode(body []byte, m proto.Message) error {
	v := reflect.ValueOf(m)
	if l := layoutOf(v.Type()); l != nil && !v.IsNil() {
		fresh := reflect.New(v.Type().Elem()) // what is given up half-way leaves nothing behind
		r := reader{rest: body}
		if r.object(l, fresh.Elem()) && len(r.rest) == 0 {
			proto.Reset(m)
			for _, f := range l {
				v.Elem().Field(f.at).Set(fresh.Elem().Field(f.at))
			}
			return nil
		}
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, m)
}

// layout is the fields of a message, in the order in which protojson writes them: that of their declaration.
type layout []field

type field struct {
	name string
	at   int // of the struct
	kind kind
	of   layout // of a message
}

type kind int

const (
	text kind = iota
	number
	long // a number of 64 bits, which JSON carries as text
	truth
	instant
	message
)

var layouts sync.Map // by type; nil for what is left to protojson

func layoutOf(t reflect.Type) layout {
	if l, ok := layouts.Load(t); ok {
		return l.(layout) //nolint:forcetypeassert // nothing else is stored
	}
	l, ok := newLayout(t)
	if !ok {
		l = nil
	}
	layouts.Store(t, l)
	return l
}

// bodies is the package of messages whose layout is known to be their JSON's; others may be written in a form of their own.
const bodies = "agogo.events.v1"

// newLayout reads a generated struct; ok is false when it has a field that is not simple, or holds itself.
func newLayout(t reflect.Type, within ...reflect.Type) (l layout, ok bool) {
	m, ok := reflect.Zero(t).Interface().(proto.Message)
	if !ok || m.ProtoReflect().Descriptor().FullName().Parent() != bodies || slices.Contains(within, t) {
		return nil, false
	}
	l = layout{}
	for i := range t.Elem().NumField() {
		f := t.Elem().Field(i)
		if !f.IsExported() {
			continue
		}
		name, ok := nameOf(f.Tag.Get("protobuf"))
		if !ok {
			return nil, false // of a oneof
		}
		here := field{name: name, at: i}
		if here.kind, ok = simple(f.Type); !ok {
			if here.of, ok = newLayout(f.Type, append(within, t)...); !ok {
				return nil, false
			}
			here.kind = message
		}
		l = append(l, here)
	}
	return l, true
}

// simple is the kind of a field that is no message.
func simple(t reflect.Type) (k kind, ok bool) {
	switch t {
	case reflect.TypeFor[string]():
		return text, true
	case reflect.TypeFor[int32](): // an enumeration's type has another name
		return number, true
	case reflect.TypeFor[int64]():
		return long, true
	case reflect.TypeFor[bool]():
		return truth, true
	case reflect.TypeFor[*timestamppb.Timestamp]():
		return instant, true
	default:
		return 0, false
	}
}

// nameOf reads a field's name from its tag: "bytes,1,opt,name=payout_id,json=payoutId,proto3".
func nameOf(tag string) (name string, ok bool) {
	for part := range strings.SplitSeq(tag, ",") {
		if name, ok = strings.CutPrefix(part, "name="); ok {
			return name, true
		}
	}
	return "", false
}

// write appends a message; ok is false when protojson has to say it.
func (l layout) write(b []byte, v reflect.Value) (_ []byte, ok bool) {
	b = append(b, '{')
	for _, f := range l {
		if v.Field(f.at).IsZero() {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.name...), '"', ':')
		if b, ok = f.write(b, v.Field(f.at)); !ok {
			return nil, false
		}
	}
	return append(b, '}'), true
}

func (f field) write(b []byte, v reflect.Value) (_ []byte, ok bool) {
	switch f.kind {
	case text:
		s := v.String()
		return append(append(append(b, '"'), s...), '"'), plain(s)
	case number:
		return strconv.AppendInt(b, v.Int(), 10), true
	case long:
		return append(strconv.AppendInt(append(b, '"'), v.Int(), 10), '"'), true
	case truth:
		return strconv.AppendBool(b, v.Bool()), true
	case instant:
		t, whole := v.Interface().(*timestamppb.Timestamp)
		if !whole || t.GetNanos() != 0 || t.CheckValid() != nil {
			return nil, false
		}
		return append(t.AsTime().AppendFormat(append(b, '"'), wholeSeconds), '"'), true
	default:
		return f.of.write(b, v.Elem())
	}
}

// wholeSeconds is the form of an instant that has no fraction.
const wholeSeconds = "2006-01-02T15:04:05Z"

// plain reports whether a text stands in JSON as it is.
func plain[S ~string | ~[]byte](s S) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// reader reads what write writes, and nothing else: no white space, nothing unknown, nothing twice.
type reader struct{ rest []byte }

func (r *reader) take(s string) bool {
	if len(r.rest) < len(s) || string(r.rest[:len(s)]) != s {
		return false
	}
	r.rest = r.rest[len(s):]
	return true
}

func (r *reader) object(l layout, v reflect.Value) bool {
	if !r.take("{") {
		return false
	}
	for from := 0; ; {
		if r.take("}") {
			return true
		}
		if from > 0 && !r.take(",") {
			return false
		}
		name, ok := r.text()
		if !ok || !r.take(":") {
			return false
		}
		for from < len(l) && l[from].name != string(name) { // in their order, so that none comes twice
			from++
		}
		if from == len(l) || !r.value(l[from], v.Field(l[from].at)) {
			return false
		}
		from++
	}
}

func (r *reader) value(f field, v reflect.Value) bool {
	switch f.kind {
	case text:
		s, ok := r.text()
		v.SetString(string(s))
		return ok
	case number:
		return r.number(32, v)
	case long:
		return r.take(`"`) && r.number(64, v) && r.take(`"`)
	case truth:
		yes := r.take("true")
		v.SetBool(yes)
		return yes || r.take("false")
	case instant:
		s, ok := r.text()
		t, err := time.Parse(wholeSeconds, string(s))
		if !ok || err != nil || t.Year() < 1 || len(s) != len(wholeSeconds) {
			return false
		}
		v.Set(reflect.ValueOf(timestamppb.New(t)))
		return true
	default:
		v.Set(reflect.New(v.Type().Elem()))
		return r.object(f.of, v.Elem())
	}
}

func (r *reader) text() (s []byte, ok bool) {
	if !r.take(`"`) {
		return nil, false
	}
	for i, c := range r.rest {
		if c == '"' {
			s, r.rest = r.rest[:i], r.rest[i+1:]
			return s, plain(s)
		}
	}
	return nil, false
}

// number reads digits as strconv writes them.
func (r *reader) number(bits int, v reflect.Value) bool {
	n := 0
	for n < len(r.rest) && (r.rest[n] >= '0' && r.rest[n] <= '9' || n == 0 && r.rest[n] == '-') {
		n++
	}
	i, err := strconv.ParseInt(string(r.rest[:n]), 10, bits)
	if err != nil || strconv.FormatInt(i, 10) != string(r.rest[:n]) {
		return false
	}
	v.SetInt(i)
	r.rest = r.rest[n:]
	return true
}
