// Package session owns what a client may ask of the gateway and what it is told: connecting with an identity, joining
// and leaving rooms, typing, presence, events of the application (CONTRACTS, "Socket.IO").
//
// Everything of a session belongs to the shard of its socket. What may block, such as asking Next.js, runs in a pool of
// workers and comes back by Shard.Post. Every client event is acked with exactly one object.
//
// Doubt is not refusal: what nobody could decide is tried again, and in the end the transport is closed, so that the
// client comes back; CONNECT_ERROR and a disconnect packet end the stock client for good and are kept for definite
// answers.
package session
