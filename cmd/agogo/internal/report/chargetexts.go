package report

import (
	"fmt"
	"strings"
)

// chargeTexts are the words of one language about charges. date and clock are layouts of time.
type chargeTexts struct {
	date, clock    string
	start, summary map[bool]string // of a run that tries again: true
	retry          string
	holds, seller  string
	one, many      string // recurrences
	cleaned        string
	expired, since string
	states         map[string]stateTexts
	codes          map[string]string
}

func chargeTextsOf(locale string) chargeTexts {
	if language, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-"); strings.ToLower(language) == "pt" {
		return portugueseCharges()
	}
	return englishCharges()
}

func (t chargeTexts) count(n int) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, t.one)
	}
	return fmt.Sprintf("%d %s", n, t.many)
}

// state falls back to the state's own name: a report must not hide what it has no words for.
func (t chargeTexts) state(name string) stateTexts {
	if s, ok := t.states[name]; ok {
		return s
	}
	return stateTexts{"❔", "{customer}: " + name, name + ":"}
}

//nolint:misspell // these are Portuguese words
func portugueseCharges() chargeTexts {
	return chargeTexts{
		date: "02/01/2006", clock: "15h04",
		start:   map[bool]string{false: "Processando as recorrências do dia (%s)", true: "Retentando as cobranças falhadas (%s)"},
		summary: map[bool]string{false: "RESUMO DAS RECORRÊNCIAS DO DIA (%s)", true: "RESUMO DAS RETENTATIVAS (%s)"},
		retry:   "nova tentativa em %s",
		holds:   "Notificando as recorrências em hold (%s)", seller: "Recorrências em hold de %s:", one: "recorrência", many: "recorrências",
		cleaned: "Limpando as recorrências antigas (%s)", expired: "Recorrência encerrada de %s:", since: "cobrança prevista para %s",
		states: map[string]stateTexts{
			"succeeded":       {"✅", "Cobrança {service} aprovada para {customer}:", "Cobranças aprovadas:"},
			"processing":      {"⏳", "Cobrança {service} em andamento para {customer}:", "Em andamento:"},
			"unknown":         {"❓", "Resultado desconhecido na {service} para {customer}:", "Resultado desconhecido, em consulta:"},
			"manual_review":   {"🔎", "Cobrança {service} a verificar por duas pessoas para {customer}:", "A verificar por duas pessoas:"},
			"failed_soft":     {"🔁", "Cobrança {service} recusada por ora para {customer}:", "Recusadas, com nova tentativa:"},
			"failed_hard":     {"❌", "Cobrança {service} recusada em definitivo para {customer}:", "Recusadas em definitivo:"},
			"requires_action": {"👤", "Cobrança {service} à espera de {customer}:", "À espera do cliente:"},
			"exhausted":       {"🚫", "Tentativas esgotadas na {service} para {customer}:", "Tentativas esgotadas:"},
			"due":             {"📤", "Cobrança {service} a enviar para {customer}:", "A enviar:"},
			"submitting":      {"📡", "Cobrança {service} sendo enviada para {customer}:", "Sendo enviadas:"},
			"cancelled":       {"⛔", "Cobrança cancelada de {customer}:", "Canceladas:"},
		},
		codes: map[string]string{
			"insufficient_funds": "saldo insuficiente", "expired_card": "cartão vencido", "lost_card": "cartão perdido", "stolen_card": "cartão roubado",
			"invalid_card_number": "número de cartão inválido", "declined": "recusada pelo emissor", "amount_limit": "limite de valor excedido",
			"count_limit": "limite de transações excedido", "issuer_unavailable": "emissor indisponível", "issuer_not_found": "emissor não encontrado",
			"requires_action": "o cliente precisa agir", "retries_over": "sem novas tentativas", "timeout": "sem resposta",
			"resolved_not_paid": "não cobrada, segundo duas pessoas",
		},
	}
}

func englishCharges() chargeTexts {
	return chargeTexts{
		date: "2 January 2006", clock: "15:04",
		start:   map[bool]string{false: "Charging today's recurrences (%s)", true: "Trying declined charges again (%s)"},
		summary: map[bool]string{false: "SUMMARY OF TODAY'S RECURRENCES (%s)", true: "SUMMARY OF CHARGES TRIED AGAIN (%s)"},
		retry:   "tried again on %s",
		holds:   "Telling sellers what is on hold (%s)", seller: "On hold of %s:", one: "recurrence", many: "recurrences",
		cleaned: "Cleaning old recurrences up (%s)", expired: "Recurrence ended of %s:", since: "was to be charged on %s",
		states: map[string]stateTexts{
			"succeeded":       {"✅", "{service} charge made for {customer}:", "Charged:"},
			"processing":      {"⏳", "{service} charge under way for {customer}:", "Under way:"},
			"unknown":         {"❓", "Outcome unknown at {service} for {customer}:", "Outcome unknown, being looked up:"},
			"manual_review":   {"🔎", "{service} charge for two people to verify for {customer}:", "For two people to verify:"},
			"failed_soft":     {"🔁", "{service} charge declined for now for {customer}:", "Declined, to be tried again:"},
			"failed_hard":     {"❌", "{service} charge declined for good for {customer}:", "Declined for good:"},
			"requires_action": {"👤", "{service} charge needs {customer}:", "Waiting for the customer:"},
			"exhausted":       {"🚫", "{service} charge given up for {customer}:", "Given up:"},
			"due":             {"📤", "{service} charge to be sent for {customer}:", "To be sent:"},
			"submitting":      {"📡", "{service} charge being sent for {customer}:", "Being sent:"},
			"cancelled":       {"⛔", "Charge cancelled of {customer}:", "Cancelled:"},
		},
	}
}
