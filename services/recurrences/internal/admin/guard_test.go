package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/rpc"
	auditv1 "github.com/agogopay/agogo/proto/gen/go/agogo/audit/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin"
)

func TestPolicyIsTheServices(t *testing.T) {
	t.Parallel()
	if err := rpc.CheckPolicy(admin.Policy(), "agogo.recurrences.v1.RecurrencesService"); err != nil {
		t.Error(err)
	}
}

// methods calls fn for every method that the service serves, its own and those of shared mechanism, with an empty request.
func methods(fn func(m protoreflect.MethodDescriptor, request *dynamicpb.Message)) {
	for _, f := range []protoreflect.FileDescriptor{
		recurrencesv1.File_agogo_recurrences_v1_recurrences_proto, ledgerv1.File_agogo_ledger_v1_ledger_proto, auditv1.File_agogo_audit_v1_audit_proto,
	} {
		all := f.Services().Get(0).Methods()
		for i := range all.Len() {
			fn(all.Get(i), dynamicpb.NewMessage(all.Get(i).Input()))
		}
	}
}

func fullName(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// call makes a call of any method and returns its error.
func call(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, request proto.Message) error {
	if !m.IsStreamingClient() {
		return conn.Invoke(ctx, fullName(m), request, dynamicpb.NewMessage(m.Output()))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, fullName(m))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_ = stream.CloseSend()
	for {
		if err := stream.RecvMsg(dynamicpb.NewMessage(m.Output())); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestRolesOfEveryMethod calls every method with every role. Whoever may not call it learns nothing of its request; whoever
// may gets past the guard, and no further than what is wrong with an empty request.
func TestRolesOfEveryMethod(t *testing.T) {
	t.Parallel()
	d := open(t)
	conns := map[string]*grpc.ClientConn{}
	for _, who := range []string{"viewer", "operator", "approver", "admin", "stranger", "nobody"} {
		conns[who] = d.conn(who)
	}
	may := map[auth.Role][]string{
		auth.Viewer: {"viewer", "operator", "approver", "admin"}, auth.Operator: {"operator", "admin"}, auth.Approver: {"approver", "admin"},
	}
	methods(func(m protoreflect.MethodDescriptor, r *dynamicpb.Message) {
		if f := r.Descriptor().Fields().ByName("tenant"); f != nil {
			r.Set(f, protoreflect.ValueOfString(tenant))
		} else {
			options := r.Mutable(r.Descriptor().Fields().ByName("options")).Message()
			options.Set(options.Descriptor().Fields().ByName("tenant"), protoreflect.ValueOfString(tenant))
			options.Set(options.Descriptor().Fields().ByName("format"), protoreflect.ValueOfString("csv"))
		}
		for who, conn := range conns {
			code, allowed := status.Code(call(t.Context(), conn, m, r)), false
			for _, name := range may[policy()[fullName(m)]] {
				allowed = allowed || name == who
			}
			switch denied := code == codes.PermissionDenied || code == codes.Unauthenticated; {
			case who == "nobody" && code != codes.Unauthenticated:
				t.Errorf("%s without a token: %v", m.Name(), code)
			case allowed == denied, code == codes.Unimplemented, code == codes.Internal:
				t.Errorf("%s as %s: %v", m.Name(), who, code)
			}
		}
	})
	if trail := d.trail(); len(trail) > 0 {
		t.Errorf("empty requests left %v", trail)
	}
}

// stringFields lists the string fields of a message and of those in it, as paths of descriptors.
func stringFields(d protoreflect.MessageDescriptor, to []protoreflect.FieldDescriptor) (all [][]protoreflect.FieldDescriptor) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		path := append(append([]protoreflect.FieldDescriptor{}, to...), f)
		switch f.Kind() {
		case protoreflect.StringKind:
			all = append(all, path)
		case protoreflect.MessageKind:
			all = append(all, stringFields(f.Message(), path)...)
		}
	}
	return all
}

// with puts a text into the field at the end of a path and returns the field's name as errors give it.
func with(m protoreflect.Message, path []protoreflect.FieldDescriptor, text string) string {
	name := ""
	for _, f := range path[:len(path)-1] {
		m, name = m.Mutable(f).Message(), name+string(f.Name())+"."
	}
	last := path[len(path)-1]
	if last.IsList() {
		m.Mutable(last).List().Append(protoreflect.ValueOfString(text))
		return name + string(last.Name()) + "[0]"
	}
	m.Set(last, protoreflect.ValueOfString(text))
	return name + string(last.Name())
}

// TestCardNumbersAreRefusedInEveryField of every request of the service, however they are written. The answer names the
// field; nothing of the number is in it, in the logs, in the tables, or on its way to anybody.
func TestCardNumbersAreRefusedInEveryField(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1")
	conn := d.conn("admin")
	numbers := []string{"4111111111111111", "4111 1111 1111 1111", "3782-822463-10005", "cartão 5555555555554444, 12/28"}
	fields := 0
	methods(func(m protoreflect.MethodDescriptor, _ *dynamicpb.Message) {
		for _, path := range stringFields(m.Input(), nil) {
			for _, number := range numbers {
				r := dynamicpb.NewMessage(m.Input())
				name := with(r, path, number)
				fields++
				err := call(t.Context(), conn, m, r)
				if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.HasPrefix(st.Message(), name+": looks like a card number") {
					t.Errorf("%s with %q in %s: %v", m.Name(), number, name, err)
				}
				if says := fmt.Sprint(err, status.Convert(err).Details()); strings.Contains(says, "1111") || strings.Contains(says, "5555") || strings.Contains(says, "10005") {
					t.Errorf("%s repeats it: %s", m.Name(), says)
				}
			}
		}
	})
	if fields < 300 {
		t.Errorf("only %d requests were made", fields)
	}
	if len(d.people.asked) > 0 {
		t.Errorf("people were asked: %v", d.people.asked)
	}
	leaks := append(d.Strings("SELECT convert_from(payload, 'UTF8') || headers::text FROM outbox"), d.Strings("SELECT to_jsonb(a)::text FROM audit_entries a")...)
	for _, text := range append(leaks, d.log.String()) {
		if strings.Contains(text, "4111") || strings.Contains(text, "555555") || strings.Contains(text, "822463") {
			t.Errorf("the number is in %s", text)
		}
	}
}

// TestNoCardNumberPassesTheScreen whatever request it is in.
func TestNoCardNumberPassesTheScreen(t *testing.T) {
	t.Parallel()
	var inputs []protoreflect.MessageDescriptor
	methods(func(m protoreflect.MethodDescriptor, _ *dynamicpb.Message) { inputs = append(inputs, m.Input()) })
	rapid.Check(t, func(t *rapid.T) {
		input := rapid.SampledFrom(inputs).Draw(t, "method")
		paths := stringFields(input, nil)
		m := dynamicpb.NewMessage(input)
		for _, path := range paths { // words around it, so that it is not the only field
			with(m, path, rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "other"))
		}
		if err := admin.Screen(m); err != nil {
			t.Fatalf("words are refused: %v", err)
		}
		path := rapid.SampledFrom(paths).Draw(t, "field")
		card := rapid.SampledFrom([]string{"4111111111111111", "5555 5555 5555 4444", "30569309025904", "6304000000000000000"}).Draw(t, "card")
		with(m, path, rapid.StringMatching(`[a-zé ]{0,5}`).Draw(t, "before")+" "+card+" "+rapid.StringMatching(`[a-zé ]{0,5}`).Draw(t, "after"))
		if err := admin.Screen(m); status.Code(err) != codes.InvalidArgument || strings.Contains(err.Error(), card) {
			t.Fatalf("%v: %v", m, err)
		}
	})
}
