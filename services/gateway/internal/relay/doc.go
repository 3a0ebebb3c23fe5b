// Package relay lets any gateway serve any client (DESIGN, "No sticky sessions"). A polling request that reached the
// wrong gateway is passed on to the owner of its engine session, which its sid names; a WebSocket that wants to take
// such a session over moves it here: the owner freezes it between two steps of its sequencer and hands over rooms,
// unsent queue and position; this gateway reaches that position, joins the rooms at one position of its own, and sends
// the queue, the replay up to there, then live.
package relay
