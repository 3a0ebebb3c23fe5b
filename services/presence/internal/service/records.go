package service

import (
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Events that rooms hear of presence.
const (
	eventOnline      = "user:online"
	eventOffline     = "user:offline"
	eventTypingStart = "typing:start"
	eventTypingStop  = "typing:stop"
)

// presenceData is the data of user:online and user:offline.
type presenceData struct {
	UserID   string `json:"userId"`
	IsOnline bool   `json:"isOnline"`
	Status   string `json:"status"`
	LastSeen *int64 `json:"lastSeen"` // epoch milliseconds, null if never seen
}

// lifecycleData is the value of a record on the lifecycle topic.
type lifecycleData struct {
	User    string `json:"user"`
	State   string `json:"state"`
	Sockets int    `json:"sockets"`
	Time    string `json:"time"`
}

// typingData is the data of typing:start and typing:stop.
type typingData struct {
	Room   string `json:"room"`
	UserID string `json:"userId"`
	Name   string `json:"name,omitempty"`
}

// watchers is the room of those who watch a user.
func watchers(user string) room.Room { return room.Room("presence:" + user) }

func presenceEvent(t store.Transition) *deliveryv1.Record {
	data := presenceData{UserID: t.User, IsOnline: t.Online, Status: t.Status}
	if !t.Seen.IsZero() {
		ms := t.Seen.UnixMilli()
		data.LastSeen = &ms
	}
	event := eventOffline
	if t.Online {
		event = eventOnline
	}
	return &deliveryv1.Record{
		Id: ulid.Make().String(), Event: event, Rooms: []string{string(watchers(t.User))}, Data: encode(data),
		TimeMs: t.At.UnixMilli(), Replace: "presence:" + t.User,
	}
}

func lifecycleRecord(t store.Transition) *emitv1.Entry {
	state := store.StatusOffline
	if t.Online {
		state = store.StatusOnline
	}
	return &emitv1.Entry{
		Topic: "lifecycle", Key: []byte(t.User),
		Value: encode(lifecycleData{User: t.User, State: state, Sockets: t.Sockets, Time: t.At.UTC().Format(time.RFC3339Nano)}),
	}
}

func typingEvent(t store.Told) *deliveryv1.Record {
	event := eventTypingStop
	if t.Typing {
		event = eventTypingStart
	}
	return &deliveryv1.Record{
		Id: ulid.Make().String(), Event: event, Rooms: []string{t.Room}, ExceptUsers: []string{t.User},
		Data:   encode(typingData{Room: t.Room, UserID: t.User, Name: t.Name}),
		TimeMs: t.At.UnixMilli(), Replace: "typing:" + t.Room + t.User, SingleRoom: true,
	}
}

// encode writes a value of ours, which can always be written.
func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return out
}
