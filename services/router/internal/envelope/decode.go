package envelope

import (
	"bytes"
	"encoding/json"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// Message is a Kafka record as read.
type Message struct {
	Topic     string
	Partition int
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Time      time.Time // the producer's, or the broker's on a topic with LogAppendTime
}

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Decoded is a Kafka record that could be read.
type Decoded struct {
	Record   *deliveryv1.Record
	Named    bool     // the publisher gave an id, so that repetitions can be told
	OddKey   bool     // the record was partitioned by something else than its first room: ordered only within its own partition
	QueueFor bool     // queue was asked for, but no user is named to keep the event for
	Key      string   // that the record was written with, if it is not its first target
	Users    []string // whom to keep the event for, if queue was asked for: those named, without those excepted
}

// Decode reads a Kafka record in any of the accepted forms. Errors are of type *Error. It never panics.
func Decode(m Message) (Decoded, error) {
	if isTransactionMarker(m) {
		return Decoded{}, &Error{Reason: Transaction, Detail: "a transaction's end marker: publish without transactions"}
	}
	e, err := read(m)
	if err != nil {
		return Decoded{}, err
	}
	if e.Trace == "" {
		e.Trace = traceOf(header(m.Headers, "traceparent"))
	}
	id := DefaultID(m.Topic, m.Partition, m.Offset)
	rec, key := e.Record(id, m.Offset, m.Time), ""
	if len(rec.Rooms) == 0 || string(m.Key) != rec.Rooms[0] {
		key = string(m.Key)
	}
	return Decoded{
		Record:   rec,
		Key:      key,
		Named:    e.ID != "",
		OddKey:   string(m.Key) != e.Key(),
		QueueFor: e.Queue && len(e.Users) == 0,
		Users:    e.queueUsers(),
	}, nil
}

func (e *Envelope) queueUsers() []string {
	switch {
	case !e.Queue:
		return nil
	case len(e.ExceptUsers) == 0:
		return e.Users
	}
	return slices.DeleteFunc(slices.Clone(e.Users), func(u string) bool { return slices.Contains(e.ExceptUsers, u) })
}

// MayQueue reports whether Decode could find that queue is asked for: far cheaper than to decode what does not.
func MayQueue(m Message) bool {
	if bytes.Contains(m.Value, []byte("queue")) || bytes.Contains(m.Value, []byte(`\u`)) {
		return true
	}
	return slices.ContainsFunc(m.Headers, func(h Header) bool { return strings.EqualFold(h.Key, "ce_interlinkqueue") })
}

// DefaultID names a record whose publisher gave no id.
func DefaultID(topic string, partition int, offset int64) string {
	return topic + "/" + strconv.Itoa(partition) + "/" + strconv.FormatInt(offset, 10)
}

// ParseDefaultID is the place that an id names which DefaultID made.
func ParseDefaultID(topic, id string) (partition int, offset int64, ok bool) {
	place, ok := strings.CutPrefix(id, topic+"/")
	if !ok {
		return 0, 0, false
	}
	p, o, _ := strings.Cut(place, "/")
	partition, err := strconv.Atoi(p)
	if err != nil || partition < 0 {
		return 0, 0, false
	}
	offset, err = strconv.ParseInt(o, 10, 64)
	return partition, offset, err == nil && offset >= 0 && id == DefaultID(topic, partition, offset)
}

func read(m Message) (*Envelope, error) {
	contentType := header(m.Headers, "content-type")
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	switch {
	case media == cloudEventsJSON:
		return parseStructured(m.Value)
	case header(m.Headers, "ce_specversion") != "":
		return parseBinary(m, media)
	default:
		return Parse(m.Value)
	}
}

func header(all []Header, key string) string {
	for _, h := range all {
		if strings.EqualFold(h.Key, key) {
			return string(h.Value)
		}
	}
	return ""
}

// isTransactionMarker tells a control record of Kafka's own, which kafka-go delivers like any other:
// a key of two int16 (version 0, abort or commit) and a value of six bytes.
func isTransactionMarker(m Message) bool {
	return len(m.Key) == 4 && len(m.Value) == 6 && m.Key[0] == 0 && m.Key[1] == 0 && m.Key[2] == 0 && m.Key[3] <= 1
}

const cloudEventsJSON = "application/cloudevents+json"

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}`)

// traceOf passes a W3C trace context on, or nothing: a broken one concerns nobody but the tracer.
func traceOf(s string) string {
	if len(s) > maxTraceSize || !traceparent.MatchString(s) {
		return ""
	}
	return s
}

// parseStructured reads a CloudEvent in JSON, https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
func parseStructured(b []byte) (*Envelope, error) {
	f, err := readObject(b)
	if err != nil {
		return nil, err
	}
	get := func(name string) (string, error) {
		var s string
		err := f.str(name, &s)
		return s, err
	}
	e, err := cloudEvent(get)
	if err != nil {
		return nil, err
	}
	if raw, ok := f.get("interlinkqueue"); ok && json.Unmarshal(raw, &e.Queue) != nil {
		if e.Queue, err = queueText(raw); err != nil {
			return nil, err
		}
	}
	if coded, ok := f.get("data_base64"); ok {
		f = fields{{name: "dataBase64", raw: coded}}
	}
	if err := f.data(e); err != nil {
		return nil, err
	}
	return e, nil
}

func queueText(raw []byte) (bool, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if v, err := strconv.ParseBool(s); err == nil {
			return v, nil
		}
	}
	return false, invalid("interlinkqueue", "must be true or false")
}

// parseBinary reads a CloudEvent whose attributes are headers, https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md#32-binary-content-mode
func parseBinary(m Message, media string) (*Envelope, error) {
	get := func(name string) (string, error) {
		s := header(m.Headers, "ce_"+name)
		if !utf8.ValidString(s) {
			return "", invalid("ce_"+name, "is not UTF-8")
		}
		return s, nil
	}
	e, err := cloudEvent(get)
	if err != nil {
		return nil, err
	}
	if q, _ := get("interlinkqueue"); q != "" {
		if e.Queue, err = strconv.ParseBool(q); err != nil {
			return nil, invalid("ce_interlinkqueue", "must be true or false")
		}
	}
	switch {
	case len(m.Value) == 0:
		e.Data = []byte("null")
	case media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"):
		if !utf8.Valid(m.Value) || !json.Valid(m.Value) {
			return nil, &Error{Reason: NotJSON, Field: "data", Detail: "the content type says JSON, but it is not"}
		}
		e.Data = append([]byte(nil), m.Value...)
	case strings.HasPrefix(media, "text/") && utf8.Valid(m.Value):
		e.Data, _ = json.Marshal(string(m.Value)) // a string always marshals
	default:
		e.Data, e.Binary = append([]byte(nil), m.Value...), true
	}
	return e, checkSize(e)
}

// cloudEvent reads the context attributes. The id is source and id with a space between, which no source can contain.
func cloudEvent(get func(string) (string, error)) (*Envelope, error) {
	a := make(map[string]string, 8)
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time", "interlinkusers", "traceparent"} {
		v, err := get(name)
		if err != nil {
			return nil, err
		}
		a[name] = v
	}
	if a["specversion"] != "1.0" {
		return nil, invalid("specversion", "must be 1.0")
	}
	for _, name := range []string{"id", "source", "type"} {
		if a[name] == "" {
			return nil, invalid(name, "is required")
		}
		if hasControl(a[name]) {
			return nil, invalid(name, "contains a control character")
		}
	}
	e := &Envelope{ID: a["source"] + " " + a["id"], Event: a["type"], Trace: traceOf(a["traceparent"])}
	if strings.Contains(a["source"], " ") {
		return nil, invalid("source", "is a URI reference and contains no space")
	}
	if len(e.ID) > MaxID {
		return nil, invalid("id", "source and id have at most %d bytes together", MaxID-1)
	}
	if err := checkEvent("type", e.Event); err != nil {
		return nil, err
	}
	if a["time"] != "" {
		t, err := parseTime(a["time"])
		if err != nil {
			return nil, invalid("time", "must be an RFC 3339 time")
		}
		e.Time = t
	}
	return e, cloudTargets(e, a["subject"], a["interlinkusers"])
}

func cloudTargets(e *Envelope, subject, users string) error {
	if subject != "" {
		rooms, err := parseRooms("subject", []string{subject})
		if err != nil {
			return err
		}
		e.Rooms = rooms
	}
	for u := range strings.SplitSeq(users, ",") {
		if u = strings.TrimSpace(u); u == "" {
			continue
		}
		if err := checkUser("interlinkusers", u); err != nil {
			return err
		}
		e.Users = append(e.Users, u)
	}
	e.Users = unique(e.Users)
	return checkTargets("subject", e)
}
