package provider

import (
	"fmt"
	"strings"
	"testing"
)

func panicking(phone string) (told string) {
	defer func() { told = Panic(recover()).String() }()
	fail(phone)
	return ""
}

//go:noinline
func fail(phone string) { panic(fmt.Sprintf("cannot read %s", phone)) }

func TestPanicSaysWhereAndNothingPersonal(t *testing.T) {
	t.Parallel()
	told := panicking("+2250700000101")
	if !strings.Contains(told, "provider.fail:") || strings.Contains(told, "0700000101") || strings.Contains(told, "0x") {
		t.Errorf("told %s", told)
	}
	defer func() {
		if told := Panic(recover()).String(); !strings.Contains(told, "index out of range") {
			t.Errorf("told %s", told)
		}
	}()
	var none []int
	_ = none[len(told)]
}
