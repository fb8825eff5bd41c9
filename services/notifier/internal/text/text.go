// Package text puts notices into words: French, Portuguese and English, with amounts, dates and counts as the people of
// the recipient's locale write them. The words are in catalogue/, one file per language, and need no Go to be changed.
package text

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"text/template"
	"time"

	"golang.org/x/text/language"

	"github.com/agogopay/agogo/services/notifier/internal/notice"
)

//go:embed catalogue/*.json
var files embed.FS

// fallback is the language of those whose own is not here.
const fallback = "en"

// resolved is the entry that wraps the title of an alert whose cause is gone.
const resolved = "alert.resolved"

// Text is what a recipient reads.
type Text struct {
	Locale string
	Title  string
	Body   string
}

// Texts renders notices.
type Texts struct {
	// by locale ("fr", and "fr-CI" should a region ever need words of its own) and key
	catalogues map[string]map[string]entry
	params     map[string][]string
}

type entry struct{ title, body *template.Template }

// New parses the embedded catalogues. It fails on a broken template or a text that is missing, so that no service starts
// without words for something it may have to say.
func New() (*Texts, error) { return load(files) }

func load(fsys fs.FS) (*Texts, error) {
	names, err := fs.Glob(fsys, "catalogue/*.json")
	if err != nil {
		return nil, fmt.Errorf("list catalogues: %w", err)
	}
	t := &Texts{catalogues: map[string]map[string]entry{}, params: map[string][]string{resolved: {"Title"}}}
	for _, text := range notice.Texts() {
		t.params[text.Key] = text.Params
	}
	for _, name := range names {
		locale := strings.TrimSuffix(path.Base(name), ".json")
		if t.catalogues[locale], err = t.parse(fsys, name, locale); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
	}
	return t, t.complete()
}

func (t *Texts) parse(fsys fs.FS, name, locale string) (map[string]entry, error) {
	raw, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var words map[string]struct{ Title, Body string }
	if err := json.Unmarshal(raw, &words); err != nil {
		return nil, err
	}
	tag, err := language.Parse(locale)
	if err != nil {
		return nil, fmt.Errorf("file name is not a locale: %w", err)
	}
	entries := make(map[string]entry, len(words))
	for key, w := range words {
		if _, ok := t.params[key]; !ok {
			return nil, fmt.Errorf("%q is not a text: add it to notice.Texts or remove it", key)
		}
		var e entry
		if e.title, err = compile(tag, key+" title", w.Title); err != nil {
			return nil, err
		}
		if e.body, err = compile(tag, key+" body", w.Body); err != nil {
			return nil, err
		}
		entries[key] = e
	}
	return entries, nil
}

func compile(tag language.Tag, name, words string) (*template.Template, error) {
	return template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"plural": pluralOf(tag)}).Parse(words)
}

// complete checks that each language has every text; regional files may have some only.
func (t *Texts) complete() error {
	for locale, entries := range t.catalogues {
		if strings.Contains(locale, "-") {
			continue
		}
		for key := range t.params {
			if _, ok := entries[key]; !ok {
				return fmt.Errorf("catalogue %s has no text %q", locale, key)
			}
		}
	}
	if _, ok := t.catalogues[fallback]; !ok {
		return fmt.Errorf("no catalogue for %q, which is everybody's last resort", fallback)
	}
	return nil
}

// Render puts a notice into words for the first of the locales whose language is known, else in English. A region falls
// back to its language: fr-CI, fr, en. Instants are told in zone.
func (t *Texts) Render(n notice.Notice, zone *time.Location, locales ...string) (Text, error) {
	locale := t.choose(locales)
	text, err := t.render(n.Text, locale, facts(n.Params, zone, locale))
	if err != nil || !n.Resolved {
		return text, err
	}
	return t.render(resolved, locale, func(string) any { return text.Title })
}

func (t *Texts) choose(locales []string) string {
	for _, locale := range locales {
		if tag, err := language.Parse(locale); err == nil && len(t.chain(tag.String())) > 0 {
			return tag.String()
		}
	}
	return fallback
}

// chain lists the catalogues of a locale, most special first; empty when its language is unknown.
func (t *Texts) chain(locale string) []map[string]entry {
	var chain []map[string]entry
	for {
		if entries, ok := t.catalogues[locale]; ok {
			chain = append(chain, entries)
		}
		i := strings.LastIndexByte(locale, '-')
		if i < 0 {
			return chain
		}
		locale = locale[:i]
	}
}

func (t *Texts) render(key, locale string, fact func(param string) any) (Text, error) {
	params, ok := t.params[key]
	if !ok {
		return Text{}, fmt.Errorf("there is no text %q: add it to notice.Texts and to every catalogue", key)
	}
	// Only what the text declares: a template that uses more fails in every language, not only where the fact is empty.
	data := make(map[string]any, len(params))
	for _, p := range params {
		data[p] = fact(p)
	}
	for _, entries := range t.chain(locale) {
		if e, ok := entries[key]; ok {
			return e.render(locale, data)
		}
	}
	return t.catalogues[fallback][key].render(fallback, data)
}

func (e entry) render(locale string, data map[string]any) (Text, error) {
	var title, body strings.Builder
	if err := e.title.Execute(&title, data); err != nil {
		return Text{}, err
	}
	if err := e.body.Execute(&body, data); err != nil {
		return Text{}, err
	}
	return Text{Locale: locale, Title: title.String(), Body: body.String()}, nil
}
