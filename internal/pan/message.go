package pan

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field names the first string field of a message, or of the messages in it, that holds something like a card number:
// "reason", "options.tenant", "labels[2]". It is "" when there is none. Keys of maps count as well as their values.
func Field(m proto.Message) string { return inMessage(m.ProtoReflect(), "") }

func inMessage(m protoreflect.Message, prefix string) (found string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := prefix + string(f.Name())
		switch {
		case f.IsMap():
			found = inMap(f, v.Map(), path)
		case f.IsList():
			for i := 0; i < v.List().Len() && found == ""; i++ {
				found = inValue(f, v.List().Get(i), fmt.Sprintf("%s[%d]", path, i))
			}
		default:
			found = inValue(f, v, path)
		}
		return found == ""
	})
	return found
}

// inMap does not name the key: it may be the number.
func inMap(f protoreflect.FieldDescriptor, m protoreflect.Map, path string) (found string) {
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if found = inValue(f.MapKey(), k.Value(), path); found == "" {
			found = inValue(f.MapValue(), v, path+"[…]")
		}
		return found == ""
	})
	return found
}

func inValue(f protoreflect.FieldDescriptor, v protoreflect.Value, path string) string {
	switch f.Kind() { //nolint:exhaustive // numbers and bytes hold no text
	case protoreflect.StringKind:
		if In(v.String()) {
			return path
		}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return inMessage(v.Message(), path+".")
	}
	return ""
}
