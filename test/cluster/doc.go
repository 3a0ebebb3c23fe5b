// Package cluster shows on a real node what the operator promises: clients through an ingress, with Kafka and Redis
// beside the node, while gateways are rolled out, evicted, scaled and given other keys. `make cluster` runs it; it needs
// root, and what `scripts/cluster/cluster build` builds.
package cluster
