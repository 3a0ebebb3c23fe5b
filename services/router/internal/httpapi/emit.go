package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

type emitted struct {
	ID        string `json:"id"`
	Partition *int   `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
}

func placeOf(p Published) emitted {
	return emitted{ID: p.ID, Partition: &p.Partition, Offset: &p.Offset}
}

// emit takes one record.
func (a *api) emit(w http.ResponseWriter, r *http.Request) {
	began := a.now()
	result := "ok"
	defer func() { a.opts.Observe(result, a.now().Sub(began)) }()
	answer, err := a.emitOne(w, r)
	if err != nil {
		p := problemOf(err)
		result = p.Code
		a.note(r, p, err)
		fail(w, p)
		return
	}
	write(w, http.StatusAccepted, answer)
}

// note logs what is ours to mend; what the caller did wrong is in his answer.
func (a *api) note(r *http.Request, p problem, err error) {
	if p.Code == codeUnavailable || p.Code == codeInternal {
		a.opts.Logger.WarnContext(r.Context(), "cannot publish", "path", r.URL.Path, "error", err)
	}
}

func (a *api) emitOne(w http.ResponseWriter, r *http.Request) (emitted, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEmit))
	if err != nil {
		return emitted{}, readError(err)
	}
	e, err := envelope.ParseAs(r.Header.Get("Content-Type"), body)
	if err != nil {
		return emitted{}, err
	}
	if err := idempotent(e, r.Header.Get("Idempotency-Key")); err != nil {
		return emitted{}, err
	}
	e.SetTrace(r.Header.Get("traceparent"))
	return a.publish(r, e)
}

// readError keeps the error of a body that is too long, and blames the caller for the rest.
func readError(err error) error {
	if p := problemOf(err); p.Code == codeTooLarge {
		return err
	}
	return &envelope.Error{Reason: envelope.Invalid, Detail: "the body could not be read"}
}

func idempotent(e *envelope.Envelope, key string) error {
	if key == "" {
		return nil
	}
	if e.ID != "" && e.ID != key {
		return &envelope.Error{Reason: envelope.Invalid, Field: "id", Detail: "differs from the Idempotency-Key header"}
	}
	return e.SetID(key)
}

func (a *api) publish(r *http.Request, e *envelope.Envelope) (emitted, error) {
	if e.Volatile {
		all := []*envelope.Envelope{e}
		if err := a.opts.Publisher.Push(all); err != nil {
			return emitted{}, err
		}
		return emitted{ID: e.ID}, nil
	}
	p := a.opts.Publisher.Publish(r.Context(), []*envelope.Envelope{e})[0]
	return placeOf(p), p.Err
}

// line is the answer to one line of a batch.
type line struct {
	*emitted
	Error *lineError `json:"error,omitempty"`
}

type lineError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

func broken(err error) line {
	p := problemOf(err)
	return line{Error: &lineError{Code: p.Code, Message: p.Detail, Field: p.Field}}
}

// batch takes one record a line and answers one line each, in order, when all are done. A bad line spoils only itself.
func (a *api) batch(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBatch))
	if err != nil {
		fail(w, problemOf(readError(err)))
		return
	}
	body = bytes.TrimRight(body, "\r\n\t ")
	if len(body) == 0 {
		fail(w, problem{Code: codeBadRequest, Detail: "the body has no line"})
		return
	}
	if bytes.Count(body, []byte("\n")) >= maxLines { // before they are taken apart: each costs more than an empty one is long
		fail(w, problem{Code: codeTooLarge, Detail: "at most 10000 lines"})
		return
	}
	lines := bytes.Split(body, []byte("\n"))
	began := a.now()
	answers := a.batchLines(r, lines)
	took := a.now().Sub(began)
	var out bytes.Buffer
	for _, l := range answers {
		b, err := json.Marshal(l)
		if err != nil {
			b = []byte(`{"error":{"code":"internal","message":"this should not have happened"}}`)
		}
		out.Write(append(b, '\n'))
		a.observeLine(l, took)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(out.Bytes()) // a caller that has gone needs no answer
}

func (a *api) observeLine(l line, took time.Duration) {
	result := "ok"
	if l.Error != nil {
		result = l.Error.Code
	}
	a.opts.Observe(result, took)
}

func (a *api) batchLines(r *http.Request, lines [][]byte) []line {
	answers := make([]line, len(lines))
	var durable []*envelope.Envelope
	var index []int
	for i, b := range lines {
		e, err := envelope.Parse(b)
		switch {
		case err != nil:
			answers[i] = broken(err)
		case e.Volatile:
			if err := a.opts.Publisher.Push([]*envelope.Envelope{e}); err != nil {
				answers[i] = broken(err)
				continue
			}
			answers[i] = line{emitted: &emitted{ID: e.ID}}
		default:
			e.SetTrace(r.Header.Get("traceparent"))
			durable, index = append(durable, e), append(index, i)
		}
	}
	if len(durable) == 0 {
		return answers
	}
	for n, p := range a.opts.Publisher.Publish(r.Context(), durable) {
		if p.Err != nil {
			answers[index[n]] = broken(p.Err)
			a.note(r, problemOf(p.Err), p.Err)
			continue
		}
		place := placeOf(p)
		answers[index[n]] = line{emitted: &place}
	}
	return answers
}
