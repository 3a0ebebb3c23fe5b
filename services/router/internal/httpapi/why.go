package httpapi

import (
	"errors"
	"net/http"

	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/why"
)

// why tells what happened to an event, for one user or for all that it concerns.
func (a *api) why(w http.ResponseWriter, r *http.Request) {
	id, user := r.PathValue("id"), r.URL.Query().Get("user")
	if len(id) > envelope.MaxID {
		fail(w, problem{Code: codeBadRequest, Field: "id", Detail: "id: is longer than any id"})
		return
	}
	if r.URL.Query().Has("user") {
		if _, err := room.Parse(string(room.OfUser(user))); err != nil {
			fail(w, problem{Code: codeBadRequest, Field: "user", Detail: "user: is not a user id"})
			return
		}
	}
	answer, err := a.opts.Why.Explain(r.Context(), id, user)
	switch {
	case err == nil:
		write(w, http.StatusOK, answer)
	case errors.Is(err, why.ErrUnknown):
		fail(w, problem{Code: codeNotFound, Field: "id", Detail: err.Error()})
	case errors.Is(err, why.ErrIncomplete), errors.Is(err, why.ErrAway):
		fail(w, problem{Code: codeUnavailable, Detail: err.Error()})
	default:
		a.opts.Logger.ErrorContext(r.Context(), "cannot explain an event", "error", err)
		fail(w, problemOf(err))
	}
}
