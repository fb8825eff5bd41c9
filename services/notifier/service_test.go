package notifier_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/servicetest"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	importsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/imports/v1"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
	"github.com/agogopay/agogo/simulator"
)

// importFile imports in chunks of n bytes and returns the refusals and the summary.
func (r *replica) importFile(token, format, file string, n int) (refusals []string, summary *importsv1.ImportProgress, err error) {
	r.In.T.Helper()
	s, err := r.as(token).ImportDevices(r.In.Ctx)
	if err != nil {
		return nil, nil, err
	}
	got, err := servicetest.Import(s, "lebenis", format, []byte(file), n)
	for _, f := range got.Refused {
		refusals = append(refusals, fmt.Sprintf("%d %s: %s", f.GetLine(), f.GetField(), f.GetMessage()))
	}
	return refusals, got.Summary, err
}

// devices imports one Android device each for D000 to D<n-1>.
func (r *replica) devices(n int) {
	r.In.T.Helper()
	var b strings.Builder
	b.WriteString("user_id,token,platform,locale\n")
	for i := range n {
		fmt.Fprintf(&b, "D%03d,token-%d,android,fr-CI\n", i, i)
	}
	if _, summary, err := r.importFile("operator", "csv", b.String(), 1<<16); err != nil || summary.GetInserted() != int64(n) {
		r.In.T.Fatalf("imported %v, %v", summary, err)
	}
}

// await waits for n events of the notifier, by type and subject.
func (in *installation) await(aggregate string, want map[string]int) {
	in.T.Helper()
	m := in.follow(aggregate)
	got := map[string]int{}
	total := 0
	for _, n := range want {
		total += n
	}
	for range total {
		got[in.Next(m).Headers().Get("ce-type")]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		in.T.Fatalf("events of %s (-want +got):\n%s", aggregate, diff)
	}
}

const (
	evCreated    = "com.agogo.notification.created.v1"
	evDelivered  = "com.agogo.notification.delivered.v1"
	evSuppressed = "com.agogo.notification.suppressed.v1"
)

// TestEvening: fifteen drivers are paid; each hears that it is on its way and that it arrived, in French, once, although
// events are delivered again. One without a phone finds it in the list.
func TestEvening(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	r.devices(15)
	for i := range 16 {
		in.publish("payout.processing", i, 3, 0, nil)
		in.publish("payout.succeeded", i, 4, 0, nil)
		in.publish("payout.succeeded", i, 4, 1, nil)
	}
	in.await("notification", map[string]int{evCreated: 30, evDelivered: 30, evSuppressed: 2})
	in.handled()

	pushes := in.fcm.Pushes()
	byToken := map[string][]string{}
	for _, p := range pushes {
		byToken[p.Token] = append(byToken[p.Token], p.Data["kind"])
	}
	for i := range 15 {
		kinds := byToken[fmt.Sprintf("token-%d", i)]
		slices.Sort(kinds)
		if diff := cmp.Diff([]string{"payout.processing", "payout.succeeded"}, kinds); diff != "" {
			t.Errorf("driver %d heard (-want +got):\n%s", i, diff)
		}
	}
	const body = "Vous avez reçu 24\u00a0000\u00a0FCFA sur votre compte de paiement mobile pour la journée du 24 janvier 2025."
	if !slices.ContainsFunc(pushes, func(p simulator.Push) bool { return p.Body == body && p.CollapseKey == p.Data["notification_id"] }) {
		t.Errorf("no push says %q", body)
	}

	list, err := r.as("viewer").ListNotifications(in.Ctx, &notifierv1.ListNotificationsRequest{Tenant: "lebenis", RecipientId: "D015"})
	if err != nil || len(list.GetItems()) != 2 || list.GetItems()[0].GetState() != "suppressed" {
		t.Errorf("the driver without a phone: %v, %v", list.GetItems(), err)
	}
	bySubject, err := r.as("viewer").ListNotifications(in.Ctx, &notifierv1.ListNotificationsRequest{Tenant: "lebenis", SubjectId: "P3"})
	if err != nil || len(bySubject.GetItems()) != 2 {
		t.Fatalf("about one payout: %v, %v", bySubject.GetItems(), err)
	}
	id := bySubject.GetItems()[0].GetId()
	if !slices.ContainsFunc(pushes, func(p simulator.Push) bool { return p.Data["notification_id"] == id }) {
		t.Error("row and push do not share an id")
	}
}

// TestDeadToken: the device goes with its event, and is not tried again.
func TestDeadToken(t *testing.T) {
	t.Parallel()
	in := install(t)
	if err := in.fcm.AddRule(simulator.Rule{Provider: simulator.FCM, Operation: "send", Match: simulator.Match{Token: "token-0"}, Fault: simulator.DeadToken}); err != nil {
		t.Fatal(err)
	}
	r := in.start()
	r.devices(2)
	in.publish("payout.succeeded", 0, 4, 0, nil)
	in.publish("payout.succeeded", 1, 4, 0, nil)
	in.await("notification", map[string]int{evCreated: 2, evDelivered: 1, "com.agogo.notification.failed.v1": 1})
	in.await("device", map[string]int{"com.agogo.device.registered.v1": 2, "com.agogo.device.removed.v1": 1})
	devices, err := r.as("viewer").ListDevices(in.Ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis", UserId: "D000"})
	if err != nil || len(devices.GetItems()) != 1 || devices.GetItems()[0].GetState() != "removed" || devices.GetItems()[0].GetRemovedReason() != "UNREGISTERED" {
		t.Errorf("device: %v, %v", devices.GetItems(), err)
	}
}

// TestOutage: FCM is down for everybody, then back: all that waited goes out.
func TestOutage(t *testing.T) {
	t.Parallel()
	in := install(t)
	if err := in.fcm.AddRule(simulator.Rule{Provider: simulator.FCM, Operation: "send", Fault: simulator.Internal, Times: 3}); err != nil {
		t.Fatal(err)
	}
	r := in.start()
	r.devices(3)
	for i := range 3 {
		in.publish("payout.succeeded", i, 4, 0, nil)
	}
	in.await("notification", map[string]int{evCreated: 3, evDelivered: 3})
	if n := len(in.fcm.Pushes()); n != 3 {
		t.Errorf("%d pushes", n)
	}
}

// TestRestart: what happens while no notifier runs waits in the stream; two replicas share it afterwards.
func TestRestart(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	r.devices(40)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		in.publish("payout.succeeded", i, 4, 0, nil)
	}
	in.start()
	in.start()
	in.await("notification", map[string]int{evCreated: 40, evDelivered: 40})
	in.handled()
	if n := len(in.fcm.Pushes()); n != 40 {
		t.Errorf("%d pushes, want 40", n)
	}
}

// TestDeadLetter: an event of a tenant that is not configured is kept, its loss is told, and after the repair it is
// replayed to this service alone.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	in := install(t)
	lebenis := in.file.Tenants[0]
	in.file.Tenants = nil
	r := in.start()
	in.publish("payout.succeeded", 1, 4, 0, nil)
	in.await("event", map[string]int{"com.agogo.event.dead_lettered.v1": 1})
	var seq uint64
	for d, err := range stream.ListDeadLetters(in.Ctx, in.NATS.JS, "notifier") {
		if err != nil {
			t.Fatal(err)
		}
		if seq = d.Seq; !strings.Contains(d.Reason, `tenant "lebenis" is not in tenants.yaml`) {
			t.Errorf("reason %q", d.Reason)
		}
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	in.file.Tenants = append(in.file.Tenants, lebenis)
	in.start()
	if _, err := stream.Replay(in.Ctx, in.NATS.JS, seq); err != nil {
		t.Fatal(err)
	}
	// The replayed payout, and the operators' alert about its death.
	m := in.follow("notification")
	kinds := map[string]bool{}
	for len(kinds) < 2 {
		var n eventsv1.Notification
		if err := event.Decode(in.Next(m).Data(), &n); err != nil {
			t.Fatal(err)
		}
		kinds[n.GetKind()] = true
	}
	if !kinds["payout.succeeded"] || !kinds["event.dead_lettered"] {
		t.Errorf("told %v", kinds)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	const head = "user_id,token,platform,locale\n"
	for _, c := range []struct {
		name, format, file string
		chunk              int
		refusals           []string
		summary            *importsv1.ImportProgress
	}{
		{"new, byte by byte", "csv", head + "D001,a,android,fr-CI\nD002,b,ios,\n", 1, nil, &importsv1.ImportProgress{Rows: 2, Inserted: 2}},
		{"the same again", "csv", head + "D001,a,android,fr-CI\nD002,b,ios,\n", 100, nil, &importsv1.ImportProgress{Rows: 2, Unchanged: 2}},
		{"another user takes the device over", "csv", head + "D009,a,android,fr-CI\n", 100, nil, &importsv1.ImportProgress{Rows: 1, Updated: 1}},
		{"a token twice: the later row wins", "jsonl", `{"user_id":"D003","token":"c","platform":"web"}` + "\n" + `{"user_id":"D004","token":"c","platform":"web"}`, 7, nil, &importsv1.ImportProgress{Rows: 2, Inserted: 1, Updated: 1}},
		{"bad rows stand alone", "csv", head + "D005,d,fax,\nD006,e,ios,\n,f,ios,\n", 9, []string{"2 platform: must be android, ios or web", "4 user_id: missing"}, &importsv1.ImportProgress{Rows: 3, Inserted: 1, Refused: 2}},
		{"no header", "csv", "abc", 100, []string{"1 : unknown column; the columns are user_id, token, platform, locale"}, &importsv1.ImportProgress{Rows: 1, Refused: 1}},
	} {
		refusals, summary, err := r.importFile("operator", c.format, c.file, c.chunk)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.refusals, refusals); diff != "" {
			t.Errorf("%s: refusals (-want +got):\n%s", c.name, diff)
		}
		if got, want := summary.String(), c.summary.String(); strings.ReplaceAll(got, "  ", " ") != strings.ReplaceAll(want, "  ", " ") {
			t.Errorf("%s: summary %v, want %v", c.name, got, want)
		}
	}

	devices, err := r.as("viewer").ListDevices(in.Ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range devices.GetItems() {
		got = append(got, d.GetUserId()+" "+d.GetPlatform()+" "+d.GetLocale()+" "+d.GetState())
	}
	want := []string{"D002 ios  registered", "D004 web  registered", "D006 ios  registered", "D009 android fr-CI registered"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	in.audited("operator", 4) // one line per page that changed something
}

// audited checks who did what, in the audit trail.
func (in *installation) audited(actor string, want int) {
	in.T.Helper()
	conn, err := pgx.Connect(in.Ctx, in.DSN)
	if err != nil {
		in.T.Fatal(err)
	}
	defer func() { _ = conn.Close(in.Ctx) }()
	var n int
	err = conn.QueryRow(in.Ctx, `SELECT count(*) FROM notifier.audit_entries WHERE actor LIKE '%' || $1 AND action = 'ImportDevices'`, actor).Scan(&n)
	if err != nil || n != want {
		in.T.Errorf("%d lines in the audit trail, want %d (%v)", n, want, err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	for _, c := range []struct {
		token string
		want  codes.Code
	}{{"viewer", codes.PermissionDenied}, {"stranger", codes.PermissionDenied}, {"nobody", codes.Unauthenticated}} {
		if _, _, err := r.importFile(c.token, "csv", "user_id,token,platform,locale\nD001,a,ios,\n", 100); status.Code(err) != c.want {
			t.Errorf("import as %s: %v, want %s", c.token, err, c.want)
		}
	}
	for _, c := range []struct {
		token string
		want  codes.Code
	}{{"viewer", codes.OK}, {"operator", codes.OK}, {"stranger", codes.PermissionDenied}, {"nobody", codes.Unauthenticated}} {
		if _, err := r.as(c.token).ListDevices(in.Ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis"}); status.Code(err) != c.want {
			t.Errorf("list devices as %s: %v, want %s", c.token, err, c.want)
		}
		if _, err := r.as(c.token).ListNotifications(in.Ctx, &notifierv1.ListNotificationsRequest{Tenant: "lebenis"}); status.Code(err) != c.want {
			t.Errorf("list notifications as %s: %v, want %s", c.token, err, c.want)
		}
	}
	if _, err := r.as("viewer").ListDevices(in.Ctx, &notifierv1.ListDevicesRequest{}); status.Code(err) == codes.OK {
		t.Error("a list without a tenant was served")
	}
}

// TestPages: lists of any length come whole, page by page, while rows are added.
func TestPages(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	r.devices(23)
	for i := range 23 {
		in.publish("payout.succeeded", i, 4, 0, nil)
	}
	in.await("notification", map[string]int{evCreated: 23, evDelivered: 23})
	c := r.as("viewer")
	seen := map[string]bool{}
	for token := ""; ; {
		page, err := c.ListNotifications(in.Ctx, &notifierv1.ListNotificationsRequest{Tenant: "lebenis", PageSize: 5, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.GetItems() {
			if seen[n.GetId()] {
				t.Errorf("%s is listed twice", n.GetId())
			}
			seen[n.GetId()] = true
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(seen) != 23 {
		t.Errorf("%d notifications listed, want 23", len(seen))
	}
	var users []string
	for token := ""; ; {
		page, err := c.ListDevices(in.Ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis", PageSize: 4, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.GetItems() {
			users = append(users, d.GetUserId())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(users) != 23 || !slices.IsSorted(users) {
		t.Errorf("devices of %v", users)
	}
	for _, token := range []string{"x", "bm8"} {
		if _, err := c.ListDevices(in.Ctx, &notifierv1.ListDevicesRequest{Tenant: "lebenis", PageToken: token}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("page token %q: %v", token, err)
		}
	}
}

// TestReady: health tells when the notifier listens.
func TestReady(t *testing.T) {
	t.Parallel()
	r := install(t).start()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		code, body := r.Get(path)
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
		if path == "/metrics" && !strings.Contains(body, "agogo_notifier_queue_age_seconds") {
			t.Error("the age of the queue is not shown")
		}
	}
}

// TestListensToWhatItHears: the consumer's filter is the domain's list, neither more nor less.
func TestListensToWhatItHears(t *testing.T) {
	t.Parallel()
	var heard, filtered []string
	for _, ty := range notice.HeardTypes() {
		heard = append(heard, "agogo.evt.*.*."+string(ty)+".*")
	}
	filtered = append(filtered, stream.Consumer(stream.Notifier).Filter...)
	slices.Sort(heard)
	slices.Sort(filtered)
	if diff := cmp.Diff(heard, filtered); diff != "" {
		t.Errorf("filter (-heard +filter):\n%s", diff)
	}
}

// BenchmarkEndToEnd measures published events to pushes on the push service's side, with everything real and on this
// machine: NATS, Postgres, the SDK over HTTP. It also shows that memory does not grow with the number of notifications,
// which is why the push service only counts.
func BenchmarkEndToEnd(b *testing.B) {
	in := install(b)
	var pushed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, `{"name":"projects/demo/messages/%d"}`, pushed.Add(1))
	}))
	b.Cleanup(server.Close)
	in.file.Notifier.FCM.Endpoint = server.URL + "/v1"
	r := in.start()
	const drivers = 1000
	r.devices(drivers)
	b.ResetTimer()
	const publishers = 8
	for from := range publishers {
		go func() {
			for i := from; i < b.N; i += publishers {
				in.publish("payout.succeeded", i, 4, 0, func(p *eventsv1.Payout) { p.PayeeId = fmt.Sprintf("D%03d", i%drivers) })
			}
		}()
	}
	m := in.follow("notification")
	for n := range 2 * b.N { // created and delivered
		if _, err := m.Next(); err != nil {
			b.Fatal(err)
		}
		if n == b.N/2 {
			b.ReportMetric(heap(), "MiB-quarter")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notifications/s")
	b.StopTimer()
	b.ReportMetric(heap(), "MiB-end")
	if n := pushed.Load(); n != int64(b.N) {
		b.Errorf("%d pushes, want %d", n, b.N)
	}
}

// heap is what lives, in MiB.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
