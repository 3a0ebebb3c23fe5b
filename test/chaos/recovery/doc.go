// Package recovery is the fault suite of the guarantee: a durable event reaches every socket of its room in the order of
// its partition, once, also over a reconnect inside the window; beyond it the client is told. One system of separate
// processes runs while faults are injected one after the other, then at random; publishers never pause, and after each
// fault every client must have caught up, by the log.
//
// A connection that begins anew must carry a reason that the faults of its time permit. A fault during which nobody was
// recovered, and a run without a fault, prove nothing and fail.
//
// The suite is built with the tag `chaos` only: `make recovery`. What judges is built and tested always.
package recovery
