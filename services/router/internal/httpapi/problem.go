package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// Codes of errors, those of acks.
const (
	codeBadRequest      = "bad_request"
	codeUnauthenticated = "unauthenticated"
	codeNotFound        = "not_found"
	codeTooLarge        = "too_large"
	codeRateLimited     = "rate_limited"
	codeUnavailable     = "unavailable"
	codeInternal        = "internal"
)

const retryAfter = "1"

// problem is the body of an error, RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"` // of the request's body
}

func statusOf(code string) int {
	switch code {
	case codeBadRequest:
		return http.StatusBadRequest
	case codeUnauthenticated:
		return http.StatusUnauthorized
	case codeNotFound:
		return http.StatusNotFound
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeRateLimited:
		return http.StatusTooManyRequests
	case codeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// problemOf sorts an error of parsing, reading or publishing.
func problemOf(err error) problem {
	var bad *envelope.Error
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &bad) && bad.Reason == envelope.TooLarge:
		return problem{Code: codeTooLarge, Field: bad.Field, Detail: bad.Error()}
	case errors.As(err, &bad):
		return problem{Code: codeBadRequest, Field: bad.Field, Detail: bad.Error()}
	case errors.As(err, &long):
		return problem{Code: codeTooLarge, Detail: "the body is larger than this path takes"}
	case errors.Is(err, ErrTooLarge):
		return problem{Code: codeTooLarge, Detail: "the record is larger than kafka takes, about 1 MB"}
	case errors.Is(err, ErrBusy):
		return problem{Code: codeRateLimited, Detail: "too much is being published; try again with the same id"}
	case errors.Is(err, ErrAway):
		return problem{Code: codeUnavailable, Detail: "kafka can't be reached; try again with the same id"}
	default:
		return problem{Code: codeInternal, Detail: "this should not have happened"}
	}
}

func fail(w http.ResponseWriter, p problem) {
	if p.Status == 0 {
		p.Status = statusOf(p.Code)
	}
	p.Type, p.Title = "urn:interlink:problem:"+p.Code, http.StatusText(p.Status)
	if p.Code == codeRateLimited || p.Code == codeUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	send(w, p.Status, "application/problem+json", p)
}

func write(w http.ResponseWriter, status int, body any) { send(w, status, "application/json", body) }

func send(w http.ResponseWriter, status int, contentType string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a caller that has gone needs no answer
}
