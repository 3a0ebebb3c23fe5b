# Suites that need more than Go: Node.js, a browser, a real Kafka (a JVM) and Redis. Included by the Makefile.
# SYSTEM_SECONDS and CHAOS_SECONDS say how long a load lasts, CHURN_SECONDS how long clients churn,
# RECOVERY_… what the fault suite does: test/chaos/recovery/faults_test.go.

# The binaries that the suites start are built once, by `build`, and not again by each of them.
js system chaos recovery mutants soak bench price platform: export TEST_BIN ?= $(CURDIR)/bin
JS_SUITES := protocol connect rooms http live crowd malformed
NODE_TEST := node --test --test-force-exit --test-concurrency=1

test/%/node_modules/.package-lock.json: test/%/package-lock.json
	@cd $(dir $<) && npm ci --no-audit --no-fund --silent && touch node_modules/.package-lock.json

JS := test/js/node_modules/.package-lock.json
PEER := test/bench/peers/node/node_modules/.package-lock.json

.PHONY: protocol
protocol: ## the cases of the Engine.IO and Socket.IO documents
	@sh test/protocol/run.sh

.PHONY: js
js: build $(JS) ## the official JavaScript clients, 4.8 and 4.0, over every transport
	@cd test/js && $(NODE_TEST) $(JS_SUITES:%=suite/%.test.js)

.PHONY: page
page: $(JS) ## the developer page in Chromium; screenshots in test/artifacts/page
	@cd test/js && $(NODE_TEST) suite/page.test.js

.PHONY: system
system: build $(JS) $(PEER) ## separate processes, real Kafka and Redis, 600 sockets, beside Node
	@cd test && go test -tags system -count=1 -timeout 30m -v ./system

.PHONY: chaos
chaos: build $(JS) ## the same while processes are killed, frozen and added, and Redis is away
	@cd test && go test -tags chaos -count=1 -timeout 30m -v ./chaos

.PHONY: recovery
recovery: build $(JS) ## nothing lost, nothing twice: every fault, then all at random, with resuming clients
	@cd test && go test -tags chaos -count=1 -timeout 30m -parallel 24 -v ./chaos/recovery

.PHONY: mutants
mutants: build $(JS) ## gateways with one rule of the design broken each: the fault suite must notice
	@cd test && go test -tags mutants -count=1 -timeout 15m -v -run TheSuiteCatchesBrokenGateways ./chaos/recovery

# SOAK_RUN chooses among the long forms, SOAK_SECONDS and others change them: test/chaos/recovery/soak_test.go.
.PHONY: soak
soak: build $(JS) $(PEER) ## the long forms of it, by hand: minutes of storm beside Node, 5,000 sockets, an hour at random
	@cd test && go test -tags soak -count=1 -timeout 4h -parallel 16 -v -run '$(or $(SOAK_RUN),TestStorm|ManySockets|RoutersRestart|AtRandom)' ./chaos/recovery

CENTRIFUGO := github.com/centrifugal/centrifugo/v6@v6.9.1
.PHONY: centrifugo
centrifugo: ## the peer of the storm that is no Socket.IO, into bin/peers; then SOAK_CENTRIFUGO=bin/peers/centrifugo
	@CGO_ENABLED=0 GOBIN=$(CURDIR)/bin/peers GOWORK=off go install $(CENTRIFUGO)

# CLUSTER_CLIENTS says how many clients a rollout has (600). IMAGES names archives of images to take instead of bin/.
.PHONY: cluster
cluster: build build-operator $(JS) ## the operator on a real node, with an ingress, Kafka and Redis; needs root
	@cd test && go test -tags cluster -count=1 -timeout 25m -v ./cluster

.PHONY: chart
chart: ## the chart and the manifests: lint, schemas, the same objects from both
	@scripts/chart

.PHONY: bench
bench: build $(PEER) ## the gateway beside Node socket.io and a bare write loop; writes docs/results/
	@cd test && go run ./bench

.PHONY: price
price: build ## what the guarantee costs: cursors, CPU, writes to Redis; writes docs/results/
	@cd test && go run ./bench/price

.PHONY: platform
platform: build $(JS) ## the Edu Matrix platform's callers and pages as they are, real Kafka and Redis, Chromium
	@cd test && go test -tags platform -count=1 -timeout 15m -v ./platform
