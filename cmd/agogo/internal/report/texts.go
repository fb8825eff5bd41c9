package report

import (
	"fmt"
	"strings"
)

// texts are the words of one language.
type texts struct {
	clock        string // layout of the time of day
	start        string
	created      string
	summary      string
	createdCount string
	transferred  string
	failedCount  string
	one, many    string // payments
	zeroIsOne    bool   // French counts nought in the singular
	states       map[string]stateTexts
}

type stateTexts struct{ sign, line, count string }

// order is the order of states in a summary, from what is nearly done to what will not be.
func order() []string {
	return []string{
		"processing", "unknown", "manual_review", "held", "awaiting_approval", "approved", "submitting", "created", "skipped",
		"rejected", "cancelled", "reversed",
	}
}

func textsOf(locale string) texts {
	switch language, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-"); strings.ToLower(language) {
	case "fr":
		return french()
	case "pt":
		return portuguese()
	default:
		return english()
	}
}

func (t texts) payments(n int) string {
	if n == 1 || n == 0 && t.zeroIsOne {
		return fmt.Sprintf("%d %s", n, t.one)
	}
	return fmt.Sprintf("%d %s", n, t.many)
}

// state falls back to the state's own name: a report must not hide what it has no words for.
func (t texts) state(name string) stateTexts {
	if s, ok := t.states[name]; ok {
		return s
	}
	return stateTexts{"❔", "{payee}: " + name, name + ":"}
}

func portuguese() texts {
	return texts{
		clock: "15h04", start: "Início do processamento dos pagamentos diários (%s)", created: "Repasse criado para %s:",
		summary: "RESUMO DOS PAGAMENTOS DIÁRIOS (%s)", createdCount: "Repasses criados:", transferred: "Valor total transferido:",
		failedCount: "Repasses com falha:", one: "pagamento", many: "pagamentos",
		states: map[string]stateTexts{
			"succeeded":         {"✅", "Transferência {service} realizada para {payee}:", "Repasses transferidos:"},
			"processing":        {"⏳", "Transferência {service} iniciada, aguardando confirmação para {payee}:", "Aguardando confirmação:"},
			"unknown":           {"❓", "Resultado desconhecido em {service} para {payee}:", "Resultado desconhecido, em verificação:"},
			"manual_review":     {"🔎", "Transferência {service} a verificar por duas pessoas para {payee}:", "A verificar por duas pessoas:"},
			"failed":            {"❌", "Transferência {service} falhou para {payee}:", "Repasses com falha:"},
			"held":              {"✋", "Repasse retido para {payee}:", "Repasses retidos:"},
			"awaiting_approval": {"📝", "Repasse aguardando aprovação para {payee}:", "Repasses aguardando aprovação:"},
			"approved":          {"📤", "Transferência {service} a enviar para {payee}:", "Transferências a enviar:"},
			"submitting":        {"📡", "Transferência {service} sendo enviada para {payee}:", "Transferências sendo enviadas:"},
			"created":           {"🆕", "Repasse em preparação para {payee}:", "Repasses em preparação:"},
			"skipped":           {"⏩", "Adiado para o próximo pagamento para {payee}:", "Adiados para o próximo pagamento:"},
			"rejected":          {"🚫", "Repasse recusado para {payee}:", "Repasses recusados:"},
			"cancelled":         {"🚫", "Repasse cancelado para {payee}:", "Repasses cancelados:"},
			"reversed":          {"🔁", "Transferência {service} devolvida para {payee}:", "Transferências devolvidas:"},
		},
	}
}

func english() texts {
	return texts{
		clock: "15:04", start: "Daily payouts begin (%s)", created: "Payout created for %s:",
		summary: "SUMMARY OF DAILY PAYOUTS (%s)", createdCount: "Payouts created:", transferred: "Total transferred:",
		failedCount: "Payouts failed:", one: "payment", many: "payments",
		states: map[string]stateTexts{
			"succeeded":         {"✅", "{service} transfer made for {payee}:", "Payouts transferred:"},
			"processing":        {"⏳", "{service} transfer begun, waiting for confirmation for {payee}:", "Waiting for confirmation:"},
			"unknown":           {"❓", "Outcome unknown at {service} for {payee}:", "Outcome unknown, being looked up:"},
			"manual_review":     {"🔎", "{service} transfer for two people to verify for {payee}:", "For two people to verify:"},
			"failed":            {"❌", "{service} transfer failed for {payee}:", "Payouts failed:"},
			"held":              {"✋", "Payout held for {payee}:", "Payouts held:"},
			"awaiting_approval": {"📝", "Payout waiting for approval for {payee}:", "Payouts waiting for approval:"},
			"approved":          {"📤", "{service} transfer to be sent for {payee}:", "Transfers to be sent:"},
			"submitting":        {"📡", "{service} transfer being sent for {payee}:", "Transfers being sent:"},
			"created":           {"🆕", "Payout being prepared for {payee}:", "Payouts being prepared:"},
			"skipped":           {"⏩", "Carried over to the next payout for {payee}:", "Carried over to the next payout:"},
			"rejected":          {"🚫", "Payout rejected for {payee}:", "Payouts rejected:"},
			"cancelled":         {"🚫", "Payout cancelled for {payee}:", "Payouts cancelled:"},
			"reversed":          {"🔁", "{service} transfer returned for {payee}:", "Transfers returned:"},
		},
	}
}
