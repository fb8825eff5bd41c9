package histories

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// scenes are steps that belong together, which steps drawn one by one hardly ever become: what happens between a backup and its restore, or
// keeps from going what was denied. Of what | divides one way is taken, in all lines of a scene the same; @P is a payee, @M that payee among
// some, @R a replica and @N a small number. What is drawn around and between them makes each of them many.
func scenes() []string {
	return []string{
		// What had failed is tried again, or decided to be paid again, in hours that a restore undoes.
		`send @M refused|send @M refused-payee|send @M refused|send @M provider-refuses
		day @M
		dispatch @R
		backup
		person @P 0 retry|payee @P confirm|batch retry-failed|batch retry-failed
		person @P 1 retry
		dispatch @R
		restore told
		evening
		dispatch @R
		wait 10m
		dispatch @R`,
		`send @M never
		day @M
		dispatch @R
		wait 2m
		wait 2m
		backup
		resolve @P pay-again
		dispatch @R
		restore told
		resolve @P not-paid
		evening
		dispatch @R
		wait 10m`,

		// What waited for people or for a release went in such hours, and they decide otherwise now.
		`day @M
		person @P 0 hold|batch pause|payee @P pause|person @P 1 hold
		dispatch @R
		backup
		person @P 0 release|batch resume|payee @P resume|person @P 1 release
		person @P 1 release
		dispatch @R
		restore told
		person @P 1 reject|run 0 cancel|person @P 0 cancel|person @P 0 release
		dispatch @R
		wait 10m
		day @M
		dispatch @R
		person @P 0 cancel
		wait 10m`,
		`day @M
		backup
		batch approve
		person @P 0 approve
		dispatch @R
		restore told
		person @P 1 reject|batch reject|run 0 cancel|person @P 0 cancel
		dispatch @R
		wait 10m
		day @M
		batch approve
		dispatch @R
		wait 10m`,

		// A provider denies what it has paid, and something keeps that from going until it has forgotten the key, or a webhook was about it.
		`send @M blind-long
		day @M
		dispatch @R
		batch pause|tenant stop|payee @P pause
		wait 2m
		wait 2m
		wait 1h|wait 25h|wait 25h|wait 1h
		batch resume|tenant start|payee @P resume
		person @P 0 release
		dispatch @R
		wait 10m`,
		`send @M blind-long
		day @M
		dispatch @R
		batch pause|tenant stop|payee @P pause
		wait 2m
		wait 2m
		lookup @M gone
		webhook @P 0 authentic
		reconcile
		batch resume|tenant start|payee @P resume
		person @P 0 release
		dispatch @R`,
		`send @M lost
		day @M
		dispatch @R|crash 0 after
		batch pause
		lookup @M forgets
		wait 23h30m|wait 25h
		leases-end
		wait 10s
		wait 30m|wait 10s
		batch resume
		dispatch @R
		wait 10m`,

		// Likewise of what it was asked about for a restore.
		`backup
		day @M
		dispatch @R
		restore told
		lookup @M forgets
		lookup @M forgets
		lookup @M forgets
		dispatch @R
		wait 2m
		wait 2m
		batch pause|tenant stop|payee @P pause
		wait 10m
		wait 25h
		batch resume|tenant start|payee @P resume
		person @P 0 release
		dispatch @R
		wait 10m`,

		// Something is told, said or taken in the middle of a dispatch.
		`send 0 busy|send @M busy
		stumble @N claim-late
		stumble 1 claim-late
		day 63
		dispatch @R`,
		`stumble @N claim-stopped
		day 63
		dispatch @R|race
		tenant start
		dispatch @R`,
		`stumble @N share-halved
		day 63
		dispatch @R|race`,
	}
}

// scene draws one.
func scene() *rapid.Generator[[]step] {
	all := scenes()
	return rapid.Custom(func(t *rapid.T) []step {
		text := rapid.SampledFrom(all).Draw(t, "scene")
		payee, way := rapid.IntRange(0, payees-1).Draw(t, "payee"), rapid.IntRange(0, 11).Draw(t, "way")
		mask := 1<<payee | rapid.IntRange(0, 1<<payees-1).Draw(t, "others")
		fill := strings.NewReplacer("@P", fmt.Sprint(payee), "@M", fmt.Sprint(mask), "@N", fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "number")))
		between := rapid.IntRange(-12, 12).Draw(t, "between") // one step more, or none
		var drawn []step
		for i, line := range strings.Split(text, "\n") {
			ways := strings.Split(strings.TrimSpace(line), "|")
			line = strings.ReplaceAll(fill.Replace(ways[way%len(ways)]), "@R", fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "replica")))
			h, err := parse(line)
			if err != nil {
				panic(err)
			}
			if i == between {
				drawn = append(drawn, steps().Draw(t, "step"))
			}
			drawn = append(drawn, h.steps...)
		}
		return drawn
	})
}
