package provision

import (
	"fmt"
	"io"
	"strings"

	"github.com/agogopay/agogo/internal/stream"
)

// Accounts writes the part of a NATS server's configuration that says who is let in and to what: one account with JetStream,
// and in it a user for each of [stream.Users] with exactly its subjects. key gives the public key of a user, or the variable of
// the server's environment that holds it.
func Accounts(w io.Writer, key func(user string) (string, error)) error {
	var b strings.Builder
	b.WriteString("# Written by: agogo provision nats-conf. Who may connect, and the subjects of each; everything else is refused.\naccounts {\n  AGOGO {\n    jetstream: enabled\n    users: [\n")
	for _, u := range stream.Users() {
		k, err := key(u.User)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "      { # %s\n        nkey: %s\n        permissions: {\n", u.User, k)
		b.WriteString("          publish: {\n")
		subjects(&b, "allow", u.Publish)
		subjects(&b, "deny", u.DenyPublish)
		b.WriteString("          }\n          subscribe: {\n")
		subjects(&b, "allow", u.Subscribe)
		b.WriteString("          }\n        }\n      }\n")
	}
	b.WriteString("    ]\n  }\n}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func subjects(b *strings.Builder, what string, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "            %s: [\n", what)
	for _, s := range list {
		fmt.Fprintf(b, "              %q\n", s)
	}
	b.WriteString("            ]\n")
}

// KeyVariable is the variable in which a server finds the public key of a user, where its configuration is written before the
// keys are made.
func KeyVariable(user string) string { return "AGOGO_NKEY_" + strings.ToUpper(user) }
