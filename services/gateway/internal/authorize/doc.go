// Package authorize owns the decision which rooms a user may be in, and what he may do there.
//
// The order of the decision, for each room; the first that knows decides:
//
//  1. `user:{id}` is its owner's, and nobody else's, whatever a token or an authorizer says;
//     `presence:{user}` is joined by the gateway itself, never by a client.
//  2. Grants in the token, unless the user was removed from the room after it was issued: this gateway was told (Remove),
//     or the shared cache knows. With the cache away the grant counts.
//  3. What is remembered: here for a short time, then in the shared cache.
//  4. The room's asker: Next.js is asked, by the authorizer URL or by a template for the room's type.
//  5. Nobody to ask: no.
//
// A failure to ask is doubt, a *DoubtError, and never a refusal: a refused client does not come back by itself.
//
// One question is under way for a user and a room, whoever wants to know. It is led by the goroutine that came first,
// which stays with it for at most Options.Timeout even if its own context ends. Forget marks what is under way, so that
// an answer from before a membership change is neither used nor remembered.
//
// Authorizer.mu guards memory only and is held for no I/O; no other lock is taken under it.
package authorize
