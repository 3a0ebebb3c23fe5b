// Package hub owns the sequencer of a gateway and the rooms of its sockets (DESIGN, "Delivery", 4).
//
// The sequencer is one goroutine. Taking a range, moving the position, minting the cursor, encoding the event and
// handing it to the shards is one step, for all partitions in one order; joins and leaves take effect between such
// steps. What it hands to a shard arrives there in that order, so a socket that is put into a room by one message gets
// exactly the records of the messages behind it.
//
// Each shard has its own table of rooms, touched by its goroutine alone. The sequencer knows of a room only its hash
// and how many sockets of it are in which shard.
//
// Bounds. What a router sends is bounded by its window and by the number of messages that wait here (stream.go). What
// is handed to a shard and not run yet is bounded in items and bytes: a shard that cannot keep up makes the sequencer
// wait, and so the routers; a socket that cannot keep up is the engine's business and makes nobody wait. What sockets
// ask for is bounded by their event rate.
package hub
