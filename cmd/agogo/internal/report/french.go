package report

//nolint:misspell // these are French words
func french() texts {
	return texts{
		clock: "15h04", start: "Démarrage du traitement des paiements quotidiens (%s)", created: "Payout créé pour %s:",
		summary: "RÉSUMÉ DES PAIEMENTS QUOTIDIENS (%s)", createdCount: "Payouts créés:", transferred: "Montant total transféré:",
		failedCount: "Payouts échoués:", one: "paiement", many: "paiements", zeroIsOne: true,
		states: map[string]stateTexts{
			"succeeded":         {"✅", "Transfert {service} effectué pour {payee}:", "Payouts transférés:"},
			"processing":        {"⏳", "Transfert {service} initié, confirmation attendue pour {payee}:", "En attente de confirmation:"},
			"unknown":           {"❓", "Issue inconnue chez {service} pour {payee}:", "Issue inconnue, vérification en cours:"},
			"manual_review":     {"🔎", "Transfert {service} à vérifier par deux personnes pour {payee}:", "À vérifier par deux personnes:"},
			"failed":            {"❌", "Transfert {service} échoué pour {payee}:", "Payouts échoués:"},
			"held":              {"✋", "Payout retenu pour {payee}:", "Payouts retenus:"},
			"awaiting_approval": {"📝", "Payout à approuver pour {payee}:", "Payouts à approuver:"},
			"approved":          {"📤", "Transfert {service} à envoyer pour {payee}:", "Transferts à envoyer:"},
			"submitting":        {"📡", "Transfert {service} en cours d'envoi pour {payee}:", "Transferts en cours d'envoi:"},
			"created":           {"🆕", "Payout en préparation pour {payee}:", "Payouts en préparation:"},
			"skipped":           {"⏩", "Reporté au prochain paiement pour {payee}:", "Reportés au prochain paiement:"},
			"rejected":          {"🚫", "Payout refusé pour {payee}:", "Payouts refusés:"},
			"cancelled":         {"🚫", "Payout annulé pour {payee}:", "Payouts annulés:"},
			"reversed":          {"🔁", "Transfert {service} retourné pour {payee}:", "Transferts retournés:"},
		},
	}
}
