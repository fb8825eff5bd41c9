package e2e_test

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/test/harness"
)

// cardNumbers are those that networks publish for tests, as people write them.
var cardNumbers = []string{"4111111111111111", "5555 5555 5555 4444", "6011-0009-9013-9424", "4222222222222"}

// Anything that looks like a card number is refused in every column of an import and every text of a request, by the name of
// the field, and is nowhere afterwards.
func TestCardNumbersGetInNowhere(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = "wallclub"
	in.Env = []string{"AGOGO_LOG=debug,text"}
	dev := in.Dev(t)
	pauseSchedules(t, in)
	in.CLI(t, "recurrences", "import", harness.Example(t, "wallclub/recurrences-2025-10-30.csv"))
	var said strings.Builder
	refuseInImports(t, in, &said)
	refuseInRequests(t, in, &said)
	if n := len(harness.Items[recurrencesv1.Recurrence](t, in, "recurrences", "list")); n != 42 {
		t.Errorf("%d recurrences, want the 42 of before", n)
	}
	var words []string
	for _, n := range cardNumbers {
		words = append(words, n, strings.NewReplacer(" ", "", "-", "").Replace(n))
	}
	for _, name := range []string{"EVENTS", "AUDIT", "TICKS", "ADVISORIES"} {
		for _, m := range messages(t, in, name) {
			search(t, name+" "+m.Subject(), append(headerText(m.Headers()), m.Data()...), words)
		}
	}
	search(t, "the log", []byte(dev.Log()), words)
	search(t, "what was answered", []byte(said.String()), words)
	for service, addr := range in.Info(t).HTTP {
		search(t, "the metrics of "+service, fetch(t, "http://"+addr+"/metrics"), words)
	}
	if dev.Log() == "" || said.Len() == 0 {
		t.Error("nothing was searched")
	}
}

// refuseInImports puts a number into each column in turn, in both formats.
func refuseInImports(t *testing.T, in *harness.Install, said *strings.Builder) {
	t.Helper()
	columns := strings.Split("recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,next_charge_date,"+
		"card_token,card_brand,status,description,interval_days,end_date,max_cycles,failed_attempts,ended_at", ",")
	good := strings.Split("rec-new,cus-new,Cliente,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_ok_new,visa,active,Mensalidade,,,,,", ",")
	for i, column := range columns {
		number := cardNumbers[i%len(cardNumbers)]
		row := append([]string(nil), good...)
		row[i] = number
		if column == "customer_name" || column == "description" {
			row[i] = "Cliente " + number + "!"
		}
		var csvFile, jsonFile strings.Builder
		w := csv.NewWriter(&csvFile)
		if err := w.WriteAll([][]string{columns, row}); err != nil {
			t.Fatal(err)
		}
		for j, c := range columns {
			fmt.Fprintf(&jsonFile, `%c"%s":%q`, ",{"[btoi(j == 0)], c, row[j])
		}
		jsonFile.WriteString("}\n")
		for name, text := range map[string]string{"a.csv": csvFile.String(), "a.jsonl": jsonFile.String()} {
			r := in.Try(t, "recurrences", "import", harness.WriteFile(t, name, text))
			said.WriteString(r.String())
			if r.Code != 1 || !strings.Contains(r.String(), column+": looks like a card number") {
				t.Errorf("%s in %s: exit %d\n%s", column, name, r.Code, r)
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// refuseInRequests puts a number into each text of each request in turn, found by the protocol itself: a method or a field
// that is added later is asked about, too.
func refuseInRequests(t *testing.T, in *harness.Install, said *strings.Builder) {
	t.Helper()
	c, ctx := in.Connect(t, "admin")
	asked := 0
	ask := func(request proto.Message, call func() error) {
		fields := request.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if f.Kind() != protoreflect.StringKind {
				continue
			}
			asked++
			value := protoreflect.ValueOfString(cardNumbers[asked%len(cardNumbers)])
			if f.IsList() {
				list := request.ProtoReflect().NewField(f).List()
				list.Append(value)
				value = protoreflect.ValueOfList(list)
			}
			request.ProtoReflect().Set(f, value)
			err := call()
			request.ProtoReflect().Clear(f)
			fmt.Fprintln(said, err)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), string(f.Name())) || !strings.Contains(err.Error(), "card number") {
				t.Errorf("%s: %v", f.FullName(), err)
			}
		}
	}
	pause, resume, cancel := &recurrencesv1.PauseRecurrenceRequest{}, &recurrencesv1.ResumeRecurrenceRequest{}, &recurrencesv1.CancelRecurrenceRequest{}
	reactivate, card, now := &recurrencesv1.ReactivateRecurrenceRequest{}, &recurrencesv1.SetCardRequest{}, &recurrencesv1.ChargeNowRequest{}
	giveUp, resolve, list := &recurrencesv1.CancelChargeRequest{}, &recurrencesv1.ResolveChargeRequest{}, &recurrencesv1.ListRecurrencesRequest{}
	charges, get, gateway := &recurrencesv1.ListChargesRequest{}, &recurrencesv1.GetRecurrenceRequest{}, &recurrencesv1.ResumeGatewayRequest{}
	ask(pause, func() error { _, err := c.Recurrences.PauseRecurrence(ctx, pause); return err })
	ask(resume, func() error { _, err := c.Recurrences.ResumeRecurrence(ctx, resume); return err })
	ask(cancel, func() error { _, err := c.Recurrences.CancelRecurrence(ctx, cancel); return err })
	ask(reactivate, func() error { _, err := c.Recurrences.ReactivateRecurrence(ctx, reactivate); return err })
	ask(card, func() error { _, err := c.Recurrences.SetCard(ctx, card); return err })
	ask(now, func() error { _, err := c.Recurrences.ChargeNow(ctx, now); return err })
	ask(giveUp, func() error { _, err := c.Recurrences.CancelCharge(ctx, giveUp); return err })
	ask(resolve, func() error { _, err := c.Recurrences.ResolveCharge(ctx, resolve); return err })
	ask(list, func() error { _, err := c.Recurrences.ListRecurrences(ctx, list); return err })
	ask(charges, func() error { _, err := c.Recurrences.ListCharges(ctx, charges); return err })
	ask(get, func() error { _, err := c.Recurrences.GetRecurrence(ctx, get); return err })
	ask(gateway, func() error { _, err := c.Recurrences.ResumeGateway(ctx, gateway); return err })
	if asked < 40 {
		t.Errorf("only %d fields were tried", asked)
	}
}
