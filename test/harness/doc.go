// Package harness owns the processes of a test: it builds the release binaries once, starts gateways, routers, presence
// and the one binary on free ports with a real Kafka and a real Redis beside them, waits until each is ready, freezes,
// kills and restarts them, and ends every one of them, whatever the test did.
//
// Nothing in it waits for a fixed time: it polls a condition until it holds or a generous deadline has passed. Logs are
// kept under test/artifacts/, one file a process.
package harness
