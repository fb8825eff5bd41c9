package stream

import "slices"

// Access is what a user of the broker may do. What is denied wins over what is allowed.
type Access struct {
	User        string
	Publish     []string
	DenyPublish []string
	Subscribe   []string
}

// Names of the users that are no service.
const (
	Provisioner = "provisioner" // makes streams and consumers, and is used by nothing that runs for long
	Auditor     = "auditor"     // reads EVENTS, AUDIT and the dead letters
)

// Users lists every user of an installation with exactly the subjects that it needs: what a configuration of the broker is
// generated from, in dev as in production.
//
// The broker speaks to its users on ordinary subjects, so the rights to consume are rights to publish: INFO binds, MSG.NEXT
// pulls, ACK answers.
func Users() []Access {
	return []Access{
		{
			User: Provisioner, Subscribe: inbox(Provisioner),
			Publish: []string{
				"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.INFO.*",
				"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.INFO.*.*",
			},
		},
		service("scheduler", schedules(), keeps(), consumes(DLQKeeper), consumes(SchedulerRuns), consumes(SchedulerExec)),
		service("payouts", commands("payouts"), consumes(PayoutsTicks), consumes(PayoutsExec)),
		service("recurrences", commands("recurrences"), consumes(RecurrencesTicks), consumes(RecurrencesExec)),
		service("notifier", consumes(Notifier), consumes(NotifierExec)),
		combine(Access{User: Auditor, Subscribe: inbox(Auditor), Publish: []string{"$JS.API.DIRECT.GET." + DLQ}},
			reads(Events, "", nil), reads(Audit, "", nil), reads(DLQ, "", nil)),
	}
}

// UserOf finds the rights of a user.
func UserOf(name string) (Access, bool) {
	all := Users()
	i := slices.IndexFunc(all, func(a Access) bool { return a.User == name })
	if i < 0 {
		return Access{}, false
	}
	return all[i], true
}

// inbox is where answers come back: of this user alone, because whoever may read another's inbox reads all that it is told.
func inbox(user string) []string { return []string{"_INBOX_" + user + ".>"} }

// service is what every service may do: tell of its own events, keep its own audit trail, give up its own messages, and read
// what it has told, to know after a restore what its tables have forgotten. parts are beside that.
func service(name string, parts ...Access) Access {
	a := Access{
		User: name, Subscribe: inbox(name),
		Publish: []string{"agogo.evt.*." + name + ".>", "agogo.audit.*." + name, "agogo.dlq." + name + ".>"},
	}
	var own []string
	for _, c := range Consumers() {
		if c.Service == name {
			own = append(own, c.Durable)
		}
	}
	return combine(a, append(parts, reads(Events, "agogo.evt.*."+name+".>", own))...)
}

// schedules is the right to fire ticks, which are for every service.
func schedules() Access { return Access{Publish: []string{"agogo.tick.*.*.*"}} }

// commands is the right to queue a service's own work.
func commands(service string) Access { return Access{Publish: []string{"agogo.cmd." + service + ".>"}} }

// keeps is what the keeper of the dead letters needs: everybody's messages that were given up, one by one, and the list. It
// gives them back as replays, and no other command.
func keeps() Access {
	a := Access{Publish: []string{"agogo.dlq.>", "agogo.cmd.*.replay.*", "$JS.API.STREAM.MSG.DELETE." + DLQ, "$JS.API.STREAM.MSG.DELETE." + Commands}}
	for _, s := range []string{Ticks, Commands, Events, Advisories, DLQ} {
		a.Publish = append(a.Publish, "$JS.API.DIRECT.GET."+s, "$JS.API.STREAM.INFO."+s)
	}
	return combine(a, reads(DLQ, "agogo.dlq.>", nil))
}

// consumes is the right to a durable consumer: to bind to it, to pull and to answer.
func consumes(durable string) Access {
	at := Consumer(durable).Stream + "." + durable
	return Access{Publish: []string{"$JS.API.CONSUMER.INFO." + at, "$JS.API.CONSUMER.MSG.NEXT." + at, "$JS.ACK." + at + ".>"}}
}

// reads is the right to read a stream from any place, by consumers that pass away. With a filter only what matches it is read,
// because the broker holds the filter in the subject against the one in the request. The durable consumers of the stream are
// out of reach: who pulls from another's takes its messages away. own are those that the user has rights to otherwise.
func reads(stream, filter string, own []string) Access {
	create := []string{"$JS.API.CONSUMER.CREATE." + stream + ".*." + filter}
	if filter == "" {
		create = []string{"$JS.API.CONSUMER.CREATE." + stream + ".*", "$JS.API.CONSUMER.CREATE." + stream + ".*.>"}
	}
	a := Access{Publish: append(create,
		"$JS.API.STREAM.INFO."+stream, "$JS.API.CONSUMER.INFO."+stream+".*", "$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
		"$JS.API.CONSUMER.DELETE."+stream+".*")}
	for _, c := range Consumers() {
		if c.Stream != stream {
			continue
		}
		at := stream + "." + c.Durable
		a.DenyPublish = append(a.DenyPublish, "$JS.API.CONSUMER.CREATE."+at, "$JS.API.CONSUMER.CREATE."+at+".>", "$JS.API.CONSUMER.DELETE."+at)
		if !slices.Contains(own, c.Durable) {
			a.DenyPublish = append(a.DenyPublish, "$JS.API.CONSUMER.MSG.NEXT."+at)
		}
	}
	return a
}

// combine adds rights to a, sorted and each once, so that what is generated from them changes only when they do.
func combine(a Access, parts ...Access) Access {
	for _, p := range parts {
		a.Publish = append(a.Publish, p.Publish...)
		a.DenyPublish = append(a.DenyPublish, p.DenyPublish...)
		a.Subscribe = append(a.Subscribe, p.Subscribe...)
	}
	for _, list := range []*[]string{&a.Publish, &a.DenyPublish, &a.Subscribe} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return a
}
