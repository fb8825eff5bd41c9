package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// jsonParser reads one object per line.
type jsonParser struct{}

type jsonRow struct {
	UserID   string `json:"user_id"`
	Token    string `json:"token"`
	Platform string `json:"platform"`
	Locale   string `json:"locale"`
}

func (jsonParser) parse(line []byte, into *fields) *RowError {
	if !utf8.Valid(line) {
		return &RowError{Message: "not UTF-8; save the file as UTF-8"}
	}
	var row jsonRow
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&row); err != nil {
		return jsonRefusal(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &RowError{Message: "more than one value on the line; write one object per line"}
	}
	*into = fields{row.UserID, row.Token, row.Platform, row.Locale}
	return nil
}

// jsonRefusal names the field; the decoder's own words could repeat a value.
func jsonRefusal(err error) *RowError {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return &RowError{Field: wrongType.Field, Message: "must be a string, not a " + wrongType.Value}
	}
	if strings.Contains(err.Error(), "unknown field") {
		return &RowError{Message: "a field is not known; the fields are " + strings.Join(columns[:], ", ")}
	}
	return &RowError{Message: "not a JSON object on one line"}
}
