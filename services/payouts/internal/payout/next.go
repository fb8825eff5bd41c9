package payout

// Next is what a person can do about a payout where it is: the last words of a refusal.
func (p Payout) Next() string {
	id := p.ID.String()
	if p.Contradicted {
		return "its provider contradicts what is booked, and nothing sends it again: agogo recon list --tenant " + p.Tenant + " says what it told"
	}
	switch p.State {
	case Created:
		return "it is being planned: look at it in a moment"
	case AwaitingApproval:
		return "it waits for approval: agogo payouts approve " + id + ", or agogo payouts reject " + id
	case Approved:
		return "it goes by itself, unless its batch waits, which agogo batches get " + p.BatchID.String() + " says: agogo payouts hold " + id + " keeps it, agogo payouts cancel " + id + " ends it"
	case Held:
		if p.Reason.Code == CodeRestored {
			return "look at what its payee was sent before the restore (docs/runbooks/restore.md): if that paid it, leave it held; if not, agogo payouts release " + id +
				" says so, agogo payouts cancel " + id + " ends it"
		}
		return "agogo payouts release " + id + " lets it go, agogo payouts cancel " + id + " ends it"
	case Submitting:
		return "it is on its way: look at it in a moment"
	case Processing, Unknown:
		return "its provider is asked until its outcome is known; to have it asked now: agogo schedules trigger " + p.Tenant + "/payouts/check-pending --wait"
	case ManualReview:
		return "two people decide: agogo payouts resolve " + id + " --outcome paid|not_paid --evidence TEXT"
	case Succeeded:
		return "it was paid: agogo payouts reverse " + id + " asks its provider to take it back, where that can"
	case Failed:
		return p.afterFailure()
	default: // skipped, rejected, reversed, cancelled
		return "it is over, and its payments are free: the next run plans them anew"
	}
}

func (p Payout) afterFailure() string {
	id := p.ID.String()
	if p.RetryAt != nil {
		return "it is tried again by itself: agogo payouts retry " + id + " does so now, agogo payees pause " + p.PayeeID + " has it held then"
	}
	return "its payments are free, and the next run plans them anew; agogo payouts retry " + id + " tries it again"
}
