package session

import (
	"encoding/json"

	"github.com/edumatrix/interlink/services/internal/auth"
)

// refusalData is the data of a CONNECT_ERROR.
func refusalData(code, message, action string) json.RawMessage {
	data, err := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Action  string `json:"action"`
	}{code, message, action})
	if err != nil {
		return nil
	}
	return data
}

// refusalCode is a refusal's code as the pages know it.
func (h *Handler) refusalCode(r *auth.Refusal) string {
	code := string(r.Code)
	if h.options.Aliases == nil {
		return code
	}
	const missing = "no_token"
	if theirs := h.options.Aliases.Code(missing); r.Missing() && theirs != missing {
		return theirs
	}
	return h.options.Aliases.Code(code)
}
