package relay

import (
	relayv1 "github.com/edumatrix/interlink/proto/relay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
)

// giveInbox is how far a session's inbox was given, for another gateway.
func giveInbox(m session.Moved) *relayv1.Inbox {
	in := &relayv1.Inbox{After: m.Inbox.After, Open: m.Inbox.Start == nil}
	for p, offset := range m.Inbox.Start {
		in.Start = append(in.Start, &relayv1.Position{Partition: uint32(p), Offset: offset})
	}
	user := m.Principal.User
	for _, e := range m.Inbox.Awaited {
		in.Awaited = append(in.Awaited, &relayv1.Awaited{
			Id: e.ID, Partition: e.Partition, Offset: e.Offset, From: e.From, Confirm: e.Confirm, Waits: e.Of(user).Inbox,
		})
	}
	return in
}

// takeInbox is the same on the other side. Positions are by partition, in order.
func takeInbox(in *relayv1.Inbox, user string) session.MovedInbox {
	out := session.MovedInbox{After: in.GetAfter()}
	if in != nil && !in.Open {
		out.Start = make([]int64, len(in.Start))
		for _, at := range in.Start {
			if int(at.Partition) < len(out.Start) {
				out.Start[at.Partition] = at.Offset
			}
		}
	}
	for _, a := range in.GetAwaited() {
		e := &receipts.Event{ID: a.Id, Partition: a.Partition, Offset: a.Offset, From: a.From, Confirm: a.Confirm, Waits: a.Waits}
		if a.Waits {
			e.Users = []string{user}
		}
		out.Awaited = append(out.Awaited, e)
	}
	return out
}
