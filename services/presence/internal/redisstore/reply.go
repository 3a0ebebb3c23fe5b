package redisstore

import (
	"fmt"
	"strconv"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// row is one nested reply of a script. Reading past its end or another type gives zero values; what a script of ours
// answers is checked by the contract suite, not at run time.
type row []any

func (r row) text(i int) string {
	if i < len(r) {
		switch v := r[i].(type) {
		case string:
			return v
		case int64:
			return strconv.FormatInt(v, 10)
		}
	}
	return ""
}

func (r row) number(i int) int64 {
	if i < len(r) {
		switch v := r[i].(type) {
		case int64:
			return v
		case string:
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}

func (r row) time(i int) time.Time {
	if ms := r.number(i); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

func (r row) rows(i int) []row {
	if i >= len(r) {
		return nil
	}
	list, _ := r[i].([]any)
	out := make([]row, 0, len(list))
	for _, v := range list {
		if inner, ok := v.([]any); ok {
			out = append(out, inner)
		}
	}
	return out
}

func (r row) texts(i int) []string {
	if i >= len(r) {
		return nil
	}
	list, _ := r[i].([]any)
	out := make([]string, 0, len(list))
	for n := range list {
		out = append(out, row(list).text(n))
	}
	return out
}

func asRow(reply any) (row, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("a script answered %T", reply)
	}
	return list, nil
}

func transitions(rows []row) []store.Transition {
	out := make([]store.Transition, 0, len(rows))
	for _, r := range rows {
		out = append(out, store.Transition{
			User: r.text(0), Online: r.text(1) == "1", Sockets: int(r.number(2)), Status: r.text(3), Seen: r.time(4), At: r.time(5),
		})
	}
	return out
}

func told(rows []row) []store.Told {
	out := make([]store.Told, 0, len(rows))
	for _, r := range rows {
		out = append(out, store.Told{Room: r.text(0), User: r.text(1), Name: r.text(2), Typing: r.text(3) == "1", At: r.time(4)})
	}
	return out
}
