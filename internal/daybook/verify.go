package daybook

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Why a report, or a chain of them, is not to be believed.
var (
	ErrForm      = errors.New("not a report in the form that Agogo writes")
	ErrDigest    = errors.New("its content is not what its digest was made of: it was changed")
	ErrKey       = errors.New("it is signed with a key that was not given")
	ErrSignature = errors.New("its signature does not fit: it was not signed by this key, or the seal was changed")
	ErrSums      = errors.New("its sums do not agree")
	ErrChain     = errors.New("the chain of reports is broken")
)

// signed keeps a signature of ours from being taken for one about something else.
const signed = "agogo daybook 1\n"

// Key signs reports.
type Key struct {
	private ed25519.PrivateKey
}

// ParseKey reads a private key: PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` writes it, or the one line between its
// first and last, for where a secret has one line.
func ParseKey(text []byte) (*Key, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if block, _ := pem.Decode(text); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, errors.New("not a key in PEM: make one with openssl genpkey -algorithm ed25519")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("not an Ed25519 key in PKCS #8: make one with openssl genpkey -algorithm ed25519")
	}
	return &Key{private}, nil
}

// NewKey makes a key and its form in PEM.
func NewKey() (*Key, []byte, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return &Key{private}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Equal reports whether two keys are the same.
func (k *Key) Equal(other *Key) bool {
	return k == nil && other == nil || k != nil && other != nil && k.private.Equal(other.private)
}

// Public is the key that verifies.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign seals a digest.
func (k *Key) Sign(digest string) Seal {
	return Seal{
		Digest: digest, Key: KeyID(k.Public()),
		Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, []byte(signed+digest))),
	}
}

// KeyID names a public key: the first eight bytes of its SHA-256.
func KeyID(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:8])
}

// EncodePublic is a public key in PEM.
func EncodePublic(k ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublic reads a public key in PEM.
func ParsePublic(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a public key in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("not an Ed25519 public key")
	}
	return public, nil
}

// Verify reads a report and checks its form, digest, signature and sums.
func Verify(data []byte, keys ...ed25519.PublicKey) (Report, error) {
	r, err := Read(data)
	if err != nil {
		return Report{}, err
	}
	digest, err := DigestOf(r)
	if err != nil {
		return Report{}, err
	}
	if digest != r.Seal.Digest {
		return r, ErrDigest
	}
	i := slices.IndexFunc(keys, func(k ed25519.PublicKey) bool { return KeyID(k) == r.Seal.Key })
	if i < 0 {
		return r, fmt.Errorf("%w: %s", ErrKey, r.Seal.Key)
	}
	signature, err := base64.StdEncoding.DecodeString(r.Seal.Signature)
	if err != nil || !ed25519.Verify(keys[i], []byte(signed+digest), signature) {
		return r, ErrSignature
	}
	return r, r.sums()
}

// sums checks what the figures must come to, whoever signed them.
func (r Report) sums() error {
	h := r.Head
	if got := h.Opening + h.Late + h.TopUps - h.Paid - h.Fees + h.Reversed + h.Corrections; got != h.Closing {
		return fmt.Errorf("%w: the movements lead to %d, the closing says %d", ErrSums, got, h.Closing)
	}
	if int64(len(r.Items)) != h.Items {
		return fmt.Errorf("%w: %d items, the head says %d", ErrSums, len(r.Items), h.Items)
	}
	if h.Difference.Known != h.ProviderClosing.Known || h.Difference.Known && h.Difference.Minor != h.ProviderClosing.Minor-h.Closing {
		return fmt.Errorf("%w: the difference is not the provider's closing less ours", ErrSums)
	}
	flows := int64(0)
	for _, i := range r.Items {
		if i.Currency == h.Currency {
			flows += i.Flow
		}
	}
	if want := h.Carried - h.Late - h.Corrections + flows; h.Difference.Known && h.Difference.Minor != want {
		return fmt.Errorf("%w: the items explain %d, the difference is %d", ErrSums, want, h.Difference.Minor)
	}
	return nil
}

// VerifyChain checks that verified reports follow each other: that each names the digest of the one before it, and that a day
// begins with what the day before ended with. Reports in between that were not given are named as gaps, which is no error.
func VerifyChain(all []Report) (gaps []string, err error) {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b Report) int {
		return cmp.Or(cmp.Compare(a.Head.Tenant, b.Head.Tenant), cmp.Compare(a.Head.Provider, b.Head.Provider), cmp.Compare(a.Head.Sequence, b.Head.Sequence))
	})
	closing := map[string]Head{} // of the first revisions, by tenant and provider
	for i, r := range sorted {
		h := r.Head
		of := h.Tenant + "/" + h.Provider
		if h.Sequence == 1 && h.Previous != "" || h.Sequence > 1 && h.Previous == "" {
			return gaps, fmt.Errorf("%w: %s: report %d says %q of the one before", ErrChain, of, h.Sequence, h.Previous)
		}
		if i > 0 && of == sorted[i-1].Head.Tenant+"/"+sorted[i-1].Head.Provider {
			if err := follows(sorted[i-1], r, of, &gaps); err != nil {
				return gaps, err
			}
		}
		if h.Revision != 1 {
			continue
		}
		if before, ok := closing[of]; ok && before.To == h.From && before.Closing != h.Opening {
			return gaps, fmt.Errorf("%w: %s: %s ends with %d, %s begins with %d", ErrChain, of, before.Date, before.Closing, h.Date, h.Opening)
		}
		closing[of] = h
	}
	return gaps, nil
}

func follows(before, r Report, of string, gaps *[]string) error {
	a, b := before.Head.Sequence, r.Head.Sequence
	switch {
	case a == b && before.Seal.Digest == r.Seal.Digest: // the same report, given twice
	case a == b:
		return fmt.Errorf("%w: %s: two reports are number %d (%s and %s): one was put in the other's place", ErrChain, of, a, before.Head.Date, r.Head.Date)
	case b > a+1:
		*gaps = append(*gaps, fmt.Sprintf("%s: between %d (%s) and %d (%s)", of, a, before.Head.Date, b, r.Head.Date))
	case r.Head.Previous != before.Seal.Digest:
		return fmt.Errorf("%w: %s: number %d (%s) was made after another report than the number %d given (%s)", ErrChain, of, b, r.Head.Date, a, before.Head.Date)
	}
	return nil
}
