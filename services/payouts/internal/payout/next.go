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
		return "it waits for approval: agogo payouts approve " + id + " --reason TEXT, or agogo payouts reject " + id + " --reason TEXT"
	case Approved:
		return "it goes by itself, unless its batch waits, which agogo batches get " + p.BatchID.String() + " says: agogo payouts hold " + id + " --reason TEXT keeps it, agogo payouts cancel " + id + " --reason TEXT ends it"
	case Held:
		if p.Reason.Code == CodeRestored {
			return "look at what its payee was sent before the restore (docs/runbooks/restore.md): if that paid it, leave it held; if not, agogo payouts release " + id +
				" --reason TEXT says so, agogo payouts cancel " + id + " --reason TEXT ends it"
		}
		return "agogo payouts release " + id + " --reason TEXT lets it go, agogo payouts cancel " + id + " --reason TEXT ends it"
	case Submitting:
		return "it is on its way: look at it in a moment"
	case Processing, Unknown:
		return "its provider is asked until its outcome is known; to have it asked now: agogo schedules trigger " + p.Tenant + "/payouts/check-pending --wait"
	case ManualReview:
		return "two people decide: agogo payouts resolve " + id + " --outcome OUTCOME --evidence TEXT, with paid or not_paid for OUTCOME"
	case Succeeded:
		return "it was paid: agogo payouts reverse " + id + " --reason TEXT asks its provider to take it back, where that can"
	case Failed:
		return p.afterFailure()
	default: // skipped, rejected, reversed, cancelled
		return "it is over, and its payments are free: the next run plans them anew"
	}
}

func (p Payout) afterFailure() string {
	id := p.ID.String()
	if p.RetryAt != nil {
		return "it is tried again by itself: agogo payouts retry " + id + " --reason TEXT does so now, agogo payees pause " + p.PayeeID + " --reason TEXT has it held then"
	}
	return "its payments are free, and the next run plans them anew; agogo payouts retry " + id + " --reason TEXT tries it again"
}
