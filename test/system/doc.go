// Package system runs the whole path in separate processes under the load of a small platform, with a real Kafka and a
// real Redis, and judges it by the log. Its tests need minutes and a JVM, so they are built with the tag `system` only:
// `make system`.
package system
