package charge

import (
	"testing"

	"pgregory.net/rapid"
)

func TestBudgetsOfTheNetworks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, brand, last string
		counts            []int
		want              string
	}{
		{"visa, nothing yet", "visa", "", []int{0}, ""},
		{"visa, the fifteenth", "visa", "51", []int{14}, ""},
		{"visa, the sixteenth", "visa", "51", []int{15}, CodeBudget},
		{"visa, category 1", "visa", "04", []int{0}, CodeNever},
		{"visa, not permitted", "visa", "57", []int{1}, CodeNever},
		{"visa, stopped by the holder", "visa", "R0", []int{1}, CodeNever},
		{"visa, try again", "visa", "91", []int{1}, ""},
		{"mastercard has no category 1", "mastercard", "57", []int{1, 1}, ""},
		{"mastercard, the seventh of a day", "mastercard", "51", []int{6, 6}, ""},
		{"mastercard, the eighth of a day", "mastercard", "51", []int{7, 7}, CodeBudget},
		{"mastercard, the thirty-sixth of a month", "mastercard", "51", []int{0, 35}, CodeBudget},
		{"elo, the fifteenth", "elo", "51", []int{14}, ""},
		{"elo, the sixteenth", "elo", "51", []int{15}, CodeBudget},
		{"hipercard, the eighth of a month", "hipercard", "51", []int{7}, ""},
		{"hipercard, the ninth of a month", "hipercard", "51", []int{8}, CodeBudget},
		{"a brand that nobody knows, the fifth of 16 days", "aura", "51", []int{4, 4}, CodeBudget},
		{"a brand that nobody knows, the ninth of a month", "", "51", []int{0, 8}, CodeBudget},
		{"a brand that nobody knows, within both", "", "51", []int{3, 7}, ""},
		{"not counted", "mastercard", "51", []int{0}, CodeBudget},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Forbidden(tt.brand, tt.last, false, tt.counts); got != tt.want {
				t.Errorf("Forbidden = %q, want %q", got, tt.want)
			}
		})
	}
	for _, brand := range []string{"visa", "mastercard", "elo", "hipercard", "amex"} {
		if got := Forbidden(brand, "", true, make([]int, len(Windows(brand)))); got != CodeNever {
			t.Errorf("%s, the network said never: %q", brand, got)
		}
	}
	if w := Windows("visa"); len(w) != 1 || !w[0].SameAmount {
		t.Errorf("visa counts attempts of the same amount: %v", w)
	}
}

// TestAnUnknownBrandIsAllowedNothingThatAKnownOneIsNot: whatever a card turns out to be, its budget was kept.
func TestAnUnknownBrandIsAllowedNothingThatAKnownOneIsNot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		brand := rapid.SampledFrom([]string{"visa", "mastercard", "elo", "hipercard"}).Draw(t, "brand")
		// Declines by age in days, newest first; the counts follow from them.
		ages := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 60).Draw(t, "ages")
		count := func(brand string) []int {
			counts := make([]int, len(Windows(brand)))
			for i, w := range Windows(brand) {
				for _, age := range ages {
					if age < int(w.Span/day) {
						counts[i]++
					}
				}
			}
			return counts
		}
		if Forbidden("", "51", false, count("")) == "" && Forbidden(brand, "51", false, count(brand)) != "" {
			t.Fatalf("declines %v days ago: an unknown brand may, %s may not", ages, brand)
		}
	})
}
