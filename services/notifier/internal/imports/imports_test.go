package imports

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

const head = "user_id,token,platform,locale\n"

// read is the whole file as lines: "user token platform locale", or the refusal.
func read(t *testing.T, format, file string) (lines []string) {
	t.Helper()
	r, err := rows.NewReader(format, strings.NewReader(file), columns)
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		var refusal *rows.Error
		switch {
		case errors.Is(err, io.EOF):
			return lines
		case err == nil:
			var reg store.Registration
			if reg, refusal = parse(rec); refusal == nil {
				lines = append(lines, strings.Join([]string{reg.UserID, reg.Token, reg.Platform, reg.Locale}, " "))
				continue
			}
		case !errors.As(err, &refusal):
			t.Fatal(err)
		}
		lines = append(lines, refusal.Error())
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, format, file string
		want               []string
	}{
		{"csv", "csv", head + "D001,tok:1,android,fr-CI\nD002,tok2,ios,\n", []string{"D001 tok:1 android fr-CI", "D002 tok2 ios "}},
		{"another order, one spelling of a locale", "csv", "locale,platform,token,user_id\npt_br,web,t,\"a,b\"\n", []string{"a,b t web pt-BR"}},
		{"without locales", "csv", "user_id,token,platform\nD001,t,ios\n", []string{"D001 t ios "}},
		{"jsonl", "jsonl", `{"user_id":"D001","token":"t","platform":"ios","locale":"fr-CI"}` + "\n" + `{"user_id":"D002","token":"u","platform":"web"}`, []string{"D001 t ios fr-CI", "D002 u web "}},
		{"a bad row stands alone", "csv", head + "D001,t,fax,fr\nD002,u,ios,fr\n", []string{"line 2: platform: must be android, ios or web", "D002 u ios fr"}},
		{"no user", "csv", head + ",t,ios,fr\n", []string{"line 2: user_id: missing"}},
		{"long user", "csv", head + strings.Repeat("u", 129) + ",t,ios,fr\n", []string{"line 2: user_id: must be at most 128 printable characters without spaces around them"}},
		{"user with a space before it", "csv", head + " D001,t,ios,fr\n", []string{"line 2: user_id: must be at most 128 printable characters without spaces around them"}},
		{"user with a line break", "csv", head + "\"D\n1\",t,ios,fr\n", []string{"line 2: user_id: must be at most 128 printable characters without spaces around them"}},
		{"no token", "csv", head + "D001,,ios,fr\n", []string{"line 2: token: missing"}},
		{"token with a space", "csv", head + "D001,a b,ios,fr\n", []string{"line 2: token: must be at most 1024 ASCII characters without spaces; this one has 3 bytes"}},
		{"no language", "csv", head + "D001,t,ios,français\n", []string{"line 2: locale: must be a language tag such as fr-CI, or empty for the tenant's"}},
		{"no header", "csv", "D001,t,ios,fr\n", []string{"line 1: unknown column; the columns are user_id, token, platform, locale"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, read(t, c.format, c.file)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusalsTellNoToken: what is wrong with a token is said without it.
func TestRefusalsTellNoToken(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-t0ken"
	for _, file := range []string{
		head + "," + secret + ",ios,fr\n", head + "D001," + secret + " x,ios,fr\n", head + "D001," + secret + ",fax,fr\n",
		head + "D001,\"" + secret + ",ios,fr\n", head + "D001," + secret + "\n", secret + "\n",
	} {
		for _, line := range read(t, "csv", file) {
			if strings.Contains(line, secret) {
				t.Errorf("told: %s", line)
			}
		}
	}
	for _, line := range read(t, "jsonl", `{"user_id":"D001","token":"`+secret+`","`+secret+`":1}`+"\n"+`{"token":"`+secret+` "}`) {
		if strings.Contains(line, secret) {
			t.Errorf("told: %s", line)
		}
	}
}

// TestATokenBelongsToTheLaterRow: the rows before it comes again are one batch.
func TestATokenBelongsToTheLaterRow(t *testing.T) {
	t.Parallel()
	of := func(tokens string) (batch []store.Registration) {
		for _, token := range strings.Split(tokens, "") {
			batch = append(batch, store.Registration{Token: token})
		}
		return batch
	}
	for tokens, want := range map[string]int{"a": 1, "abc": 3, "aa": 1, "abcbd": 3, "abca": 3} {
		if got := distinct(of(tokens)); got != want {
			t.Errorf("%s: %d, want %d", tokens, got, want)
		}
	}
}
