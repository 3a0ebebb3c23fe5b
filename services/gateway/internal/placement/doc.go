// Package placement owns which rooms this gateway has asked for and how far it has come in each partition
// (DESIGN, "Delivery" 2 to 4). It decides which ranges of the routers are taken, when a room that was asked for
// may start, and what each router is told.
//
// The core does no I/O and reads no clock: what routers and sockets say comes in by methods, what has to be said
// comes out of Messages, Started and Expired. It is driven by one goroutine, the gateway's sequencer.
//
// Words: a stream is one life of the connection to one router. An interest number counts the changes of the set of
// rooms: a range that was filtered with number n covers every room asked for by change n or earlier.
//
// Invariants, for every partition p and whatever the routers do:
//
//	positions[p] never goes back, and moves only over offsets whose records of all active rooms were handed out;
//	every record of an active room is handed out at most once, in offset order;
//	need = the highest number of a room that was ever active: a range below it is not taken.
package placement
