package cielo

import (
	"net/http"
	"strings"
	"testing"
)

// Whose a transaction is that a notification names: the order that its answer names, if that can be one of ours. Nothing else is an answer.
func TestWhoseATransactionIs(t *testing.T) {
	t.Parallel()
	const fails = "error"
	ours := tells("2", "")
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"ours, charged":         {200, ours, "ref1"},
		"ours, denied":          {200, tells("3", `,"ReturnCode":"51"`), "ref1"},
		"of another system":     {200, strings.Replace(ours, "ref1", "Pedido 2025/17", 1), ""},
		"without its order":     {200, strings.Replace(ours, `"MerchantOrderId":"ref1",`, "", 1), fails},
		"another one":           {200, strings.Replace(ours, "0001\"", "0002\"", 1), fails},
		"unknown, or forgotten": {404, "", fails},
		"a page":                {404, "<html>no such host</html>", fails},
		"another shape":         {200, "[]", fails},
		"our key is refused":    {401, "", fails},
		"too many":              {429, "", fails},
		"out of order":          {500, ours, fails},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := stub(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/query/1/sales/"+paymentID || r.Header.Get("RequestId") == "" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			got, err := a.ReferenceOf(t.Context(), paymentID)
			if err != nil {
				got = fails
			}
			if got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
		})
	}
}
