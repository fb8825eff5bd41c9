package dev

import (
	"fmt"
	"net/url"
	"reflect"
	"time"

	"github.com/agogopay/agogo/internal/config"
)

// simulated is where tenants files say that the simulator is.
const simulated = "127.0.0.1:9900"

// redirect points the tenants file's simulator addresses to where the simulator really listens.
func redirect(f *config.File, to string) {
	addresses(f, func(_ string, u *url.URL) {
		if u.Host == simulated {
			u.Host = to
		}
	})
}

// sealed refuses a tenants file that would let anything out of this machine: a live tenant, or an address that redirect
// leaves as it is.
func sealed(f *config.File) error {
	for _, t := range f.Tenants {
		if t.Mode != "sandbox" {
			return fmt.Errorf("%s: tenant %s has mode %s: invented payments are for sandbox tenants only", f.Path, t.ID, t.Mode)
		}
	}
	var beyond error
	addresses(f, func(whose string, u *url.URL) {
		if u.Host != simulated {
			beyond = fmt.Errorf("%s: %s has an address that is not the simulator's (%s): invented payments go nowhere else", f.Path, whose, u.Host)
		}
	})
	return beyond
}

// ahead refuses a clock that is not the machine's for tenants with real money: tomorrow's evening would be paid today.
func ahead(by time.Duration, f *config.File) error {
	for _, t := range f.Tenants {
		if by != 0 && t.Mode != "sandbox" {
			return fmt.Errorf("%s: tenant %s has mode %s: --clock-ahead is for sandbox tenants only", f.Path, t.ID, t.Mode)
		}
	}
	return nil
}

// addresses shows every address of the file to see, and keeps what see makes of it. It looks at all texts of a provider, by
// what they hold and not by their names: an address that a new kind adds must not be forgotten here.
func addresses(f *config.File, see func(whose string, u *url.URL)) {
	for i, t := range f.Tenants {
		for name, p := range t.Providers {
			texts(reflect.ValueOf(&p).Elem(), "provider "+t.ID+"/"+name, see)
			f.Tenants[i].Providers[name] = p
		}
	}
	texts(reflect.ValueOf(&f.Notifier).Elem(), "notifier", see)
}

func texts(v reflect.Value, whose string, see func(string, *url.URL)) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			texts(field, whose, see)
		}
	case reflect.String:
		if u, err := url.Parse(v.String()); err == nil && u.Host != "" {
			host := u.Host
			if see(whose, u); u.Host != host {
				v.SetString(u.String())
			}
		}
	default: // numbers and times lead nowhere
	}
}
