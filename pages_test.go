package agogo_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestEveryPageIsListed: a page that no index names is read by nobody.
func TestEveryPageIsListed(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"adr", "howto", "runbooks"} {
		index, err := os.ReadFile(filepath.Join("docs", dir, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		pages, err := filepath.Glob(filepath.Join("docs", dir, "*.md"))
		if err != nil || len(pages) < 5 {
			t.Fatalf("%d pages in docs/%s, %v", len(pages), dir, err)
		}
		for _, page := range pages {
			if name := filepath.Base(page); name != "README.md" && !bytes.Contains(index, []byte("]("+name)) {
				t.Errorf("docs/%s/README.md does not list %s", dir, name)
			}
		}
	}
}
