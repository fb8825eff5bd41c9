package cielo

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
)

// saleRequest has the documented fields that matter here. Others are ignored, as the gateway does.
type saleRequest struct {
	MerchantOrderID string `json:"MerchantOrderId"`
	Payment         struct {
		Type           string          `json:"Type"`
		Amount         json.RawMessage `json:"Amount"`
		Installments   int             `json:"Installments"`
		SoftDescriptor string          `json:"SoftDescriptor"`
		Capture        bool            `json:"Capture"`
		Recurrent      bool            `json:"Recurrent"`
		CreditCard     struct {
			CardToken  string `json:"CardToken"`
			CardNumber string `json:"CardNumber"`
			Brand      string `json:"Brand"`
		} `json:"CreditCard"`
		InitiatedTransactionIndicator struct {
			Category    string `json:"Category"`
			Subcategory string `json:"Subcategory"`
		} `json:"InitiatedTransactionIndicator"`
	} `json:"Payment"`
}

// problem is a content error; the gateway answers with a list of them.
type problem struct {
	Code    int    `json:"Code"`
	Message string `json:"Message"`
}

var (
	orderID    = regexp.MustCompile(`^[A-Za-z0-9]{1,50}$`)
	guid       = regexp.MustCompile(`^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$`)
	descriptor = regexp.MustCompile(`^[A-Za-z0-9]{0,13}$`)
	brands     = regexp.MustCompile(`^(Visa|Master|Elo|Amex|Hipercard|Diners|Discover|JCB|Aura)$`)
	category   = regexp.MustCompile(`^(C1|M1|M2)$`)
)

// mostAmount has the 15 digits of the documentation.
const mostAmount = 999_999_999_999_999

// check holds a request to the documentation. Codes beside 107, 108 and 114 are assumptions.
func (q saleRequest) check() (amount int64, wrong []problem) {
	refuse := func(code int, message string) { wrong = append(wrong, problem{code, message}) }
	p := q.Payment
	amount, err := strconv.ParseInt(string(p.Amount), 10, 64)
	if !orderID.MatchString(q.MerchantOrderID) {
		refuse(107, "MerchantOrderId length exceeded or invalid characters")
	}
	if err != nil || amount < 1 || amount > mostAmount {
		refuse(108, "Amount must be greater or equal to zero")
	}
	if p.Type != "CreditCard" {
		refuse(109, "Payment type is invalid")
	}
	if p.Installments != 1 {
		refuse(110, "Installments must be one for a recurrent payment")
	}
	if !descriptor.MatchString(p.SoftDescriptor) {
		refuse(146, "SoftDescriptor length exceeded")
	}
	if p.CreditCard.CardToken == "" || p.CreditCard.CardNumber != "" {
		refuse(184, "Invalid card token")
	}
	if !brands.MatchString(p.CreditCard.Brand) {
		refuse(185, "Invalid brand")
	}
	if p.CreditCard.Brand == "Master" && (!category.MatchString(p.InitiatedTransactionIndicator.Category) || p.InitiatedTransactionIndicator.Subcategory == "") {
		refuse(186, "InitiatedTransactionIndicator is required")
	}
	return amount, wrong
}

// authorize checks the credentials and answers when they are wrong.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) (outcome string, ok bool) {
	id, key := r.Header.Get("MerchantId"), r.Header.Get("MerchantKey")
	switch {
	case !guid.MatchString(id):
		return refuse(w, problem{114, "The provided MerchantId is not in correct format"}), false
	case r.Header.Get("RequestId") != "" && !guid.MatchString(r.Header.Get("RequestId")):
		return refuse(w, problem{115, "The provided RequestId is not in correct format"}), false
	case !equal(s.cfg.MerchantID, id) || len(key) != 40 || !equal(s.cfg.MerchantKey, key):
		w.WriteHeader(http.StatusUnauthorized)
		return "refused_Unauthorized", false
	}
	return "", true
}

func equal(configured, given string) bool {
	return configured == "" || subtle.ConstantTimeCompare([]byte(configured), []byte(given)) == 1
}
