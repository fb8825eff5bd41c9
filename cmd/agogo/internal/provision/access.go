package provision

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/agogopay/agogo/internal/config"
)

// roles are those of [Tokens].
var roles = map[string]string{"admin": "admin", "operator": "operator", "approver": "approver", "approver2": "approver"}

// Access writes the section of the tenants file that lets the tokens of the folder in. It holds their hashes, by which nobody gets
// in, so that the file may be read by every service.
func (k Keys) Access(w io.Writer) error {
	hashes, err := k.hashes()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("\n# Written by: agogo provision auth. Tokens by their SHA-256.\nauth:\n  tokens:\n")
	for _, name := range Tokens {
		fmt.Fprintf(&b, "    - {name: %s, role: %s, tenants: [\"*\"], token_sha256: %q}\n", name, roles[name], hashes[name])
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// hashes are the SHA-256 of the tokens, as the tenants file takes them.
func (k Keys) hashes() (map[string]string, error) {
	tokens, err := k.Tokens()
	if err != nil {
		return nil, err
	}
	for name, token := range tokens {
		hash := config.HashToken(token)
		tokens[name] = hex.EncodeToString(hash[:])
	}
	return tokens, nil
}

// HashVariable is the variable in which services find the hash of a token, where the tenants file is written before the keys are
// made.
func HashVariable(token string) string { return "AGOGO_TOKEN_SHA256_" + strings.ToUpper(token) }
