// Package load puts a system under the load of a small platform and writes down what every client saw: official
// JavaScript clients in Node processes, Go clients in this one, a kafkajs producer and the HTTP API, all at once.
// What it writes down is for package checker to judge.
package load
