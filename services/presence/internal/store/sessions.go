package store

import (
	"time"

	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/inbox"
)

// SessionWritten answers a write of a session record.
type SessionWritten struct {
	Outcome sessionrecord.Outcome
	Version uint64 // Written: of what is stored now
	Run     string // of the store, where the record is
}

// SessionRead is a record and the present run of the store where it is: both are needed to judge it.
type SessionRead struct {
	Record sessionrecord.Record
	Run    string
}

// Box names one inbox: a user's, of one incarnation of the log, since offsets mean nothing in another one.
type Box struct {
	Log  string
	User string
}

// InboxItem is an entry for one box.
type InboxItem struct {
	Box   Box
	Entry inbox.Entry
}

// ClaimTime is how long an overdue entry is kept from the other pods while one reports it.
const ClaimTime = 30 * time.Second
