// Package platform runs Interlink with the mapping of the Edu Matrix platform, as separate processes with a real Kafka and
// Redis, and lets the platform's callers and pages speak to it as they do today: kafkajs, fetch, the stock socket client and
// a page in Chromium (test/js/suite/platform*.test.js). testdata/ is what was recorded of them, one shape a line. Built
// with the tag `platform` only: `make platform`.
package platform
