package authorize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// asker asks someone what a user may do in a room. An error is doubt. One question at a time for a user and room; ctx
// ends it.
type asker interface {
	ask(ctx context.Context, p auth.Principal, r room.Room) (answer, error)
}

// answer is definite.
type answer struct {
	set      permission.Set
	ttl      time.Duration // if hasTTL
	hasTTL   bool
	personal bool // see outcome
}

const maxAnswer = 1 << 20 // bytes of a body

// errUnreachable is in every error that counts for a breaker. A 500 does not: one room that makes Next.js fail must not
// keep everybody else from asking.
var errUnreachable = errors.New("unreachable")

// errPaused is what a breaker says.
var errPaused = fmt.Errorf("%w a moment ago, not asked again yet", errUnreachable)

// peer is an HTTP server behind a breaker.
type peer struct {
	client  *http.Client
	breaker *breaker
	logger  *slog.Logger
}

// do sends a request and reads its answer whole. Errors and statuses are named; bodies never get into errors or logs.
func (p peer) do(req *http.Request) (status int, body []byte, err error) {
	if !p.breaker.allow(time.Now()) {
		return 0, nil, errPaused
	}
	status, body, err = p.exchange(req)
	switch p.breaker.report(time.Now(), !errors.Is(err, errUnreachable)) {
	case opened:
		p.logger.Warn("authorizer unreachable, questions paused", "host", req.URL.Host, "error", err.Error())
	case closed:
		p.logger.Info("authorizer reachable again", "host", req.URL.Host)
	}
	return status, body, err
}

func (p peer) exchange(req *http.Request) (status int, body []byte, err error) {
	res, err := p.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errUnreachable, cause(err))
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return res.StatusCode, nil, fmt.Errorf("%w: status %d", errUnreachable, res.StatusCode)
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return res.StatusCode, nil, fmt.Errorf("%w: read the answer: %w", errUnreachable, err)
	}
	if len(body) > maxAnswer {
		return res.StatusCode, nil, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	return res.StatusCode, body, nil
}

// cause takes the address off an HTTP client's error: it has the room and the user in it.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// urlAsker asks the authorizer: `POST {user, room, claims}` with an internal key.
type urlAsker struct {
	peer
	url  string
	keys func() [][]byte
}

func newURLAsker(o Options, client *http.Client) (*urlAsker, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("authorizer URL: want http(s)://host/path without a user")
	}
	if o.Keys == nil {
		return nil, errors.New("authorizer URL: there is no internal API key to ask with")
	}
	return &urlAsker{peer: peer{client: client, breaker: newBreaker(), logger: o.Logger}, url: u.String(), keys: o.Keys}, nil
}

// question is the body of a request; List asks for all rooms of the user instead of one.
type question struct {
	User   string          `json:"user"`
	Room   room.Room       `json:"room,omitempty"`
	List   bool            `json:"list,omitempty"`
	Claims json.RawMessage `json:"claims,omitempty"`
}

func (u *urlAsker) post(ctx context.Context, q question) (status int, body []byte, err error) {
	sent, err := json.Marshal(q)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the authorizer: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url, bytes.NewReader(sent))
	if err != nil {
		return 0, nil, fmt.Errorf("ask the authorizer: %w", err)
	}
	keys := u.keys()
	if len(keys) == 0 {
		return 0, nil, errors.New("ask the authorizer: no internal API key at present")
	}
	req.Header.Set("Authorization", "Bearer "+string(keys[0]))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	status, body, err = u.do(req)
	if err != nil {
		return status, nil, fmt.Errorf("ask the authorizer: %w", err)
	}
	return status, body, nil
}

func (u *urlAsker) ask(ctx context.Context, p auth.Principal, r room.Room) (answer, error) {
	status, body, err := u.post(ctx, question{User: p.User, Room: r, Claims: p.Claims})
	if err != nil {
		return answer{}, err
	}
	switch status {
	case http.StatusOK:
		return readAnswer(body)
	case http.StatusForbidden, http.StatusNotFound:
		return answer{}, nil
	default:
		return answer{}, fmt.Errorf("ask the authorizer: status %d", status)
	}
}

// readAnswer reads `{join,type,publish,presence: bool, ttlSeconds?}`. Without a join it is not an answer: a page of
// something else must neither admit nor refuse.
func readAnswer(body []byte) (answer, error) {
	var a struct {
		Join       *bool    `json:"join"`
		Type       bool     `json:"type"`
		Publish    bool     `json:"publish"`
		Presence   bool     `json:"presence"`
		TTLSeconds *float64 `json:"ttlSeconds"`
	}
	if err := json.Unmarshal(body, &a); err != nil || a.Join == nil {
		return answer{}, errors.New("ask the authorizer: the answer is not {join, type, publish, presence}")
	}
	var out answer
	for p, has := range map[permission.Set]bool{
		permission.Join: *a.Join, permission.Type: a.Type, permission.Publish: a.Publish, permission.Presence: a.Presence,
	} {
		if has {
			out.set |= p
		}
	}
	if a.TTLSeconds != nil {
		out.hasTTL = true
		out.ttl = time.Duration(min(max(*a.TTLSeconds, 0), longestTTL.Seconds()) * float64(time.Second))
	}
	return out, nil
}
