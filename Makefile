# Interlink. `make help` lists what there is; every target installs nothing outside of this folder.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
MODULES := proto services operator test tools
LDFLAGS := -s -w -X main.version=$(VERSION)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
PROGRAMS := interlink gateway router presence protocol-server
# How many packages are tested at once. The tests talk to each other over loopback: more than the cores only makes them slow.
TEST_JOBS ?= 2
FUZZTIME ?= 60s
# What lint reads beside the rest: the suites that other targets run.
TAGS := system,chaos,soak,mutants,platform,cluster,envtest
IMAGE ?= localhost/interlink:$(VERSION)

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z0-9-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the programs, in bin/
	@mkdir -p bin
	cd services && $(GOBUILD) -o ../bin/ $(addprefix ./cmd/,$(PROGRAMS))

.PHONY: build-operator
build-operator: ## the operator of RealtimeGateway resources, in bin/
	@mkdir -p bin
	cd operator && $(GOBUILD) -o ../bin/operator ./cmd/operator

.PHONY: run
run: ## everything on this machine, in development mode: prints where to look
	@mkdir -p bin
	@cd services && $(GOBUILD) -o ../bin/ ./cmd/interlink
	@INTERLINK_DEV=1 exec bin/interlink serve

.PHONY: test
test: ## all Go tests, with the race detector; needs nothing but Go
	@for m in $(MODULES); do echo "# $$m"; (cd $$m && go test -race -p $(TEST_JOBS) -timeout 10m ./...); done

.PHONY: envtest
envtest: ## the operator's loop against a real API server and etcd, which are built the first time
	@scripts/cluster/cluster build envtest
	@eval "$$(scripts/cluster/cluster env)"; cd operator && go test -tags envtest -count=1 ./internal/controller

.PHONY: generate
generate: ## make again what is made: protobuf code, the table of settings, the CRD
	cd tools && GOWORK=off go run ./protogen ../proto
	cd services && go generate ./internal/config/...
	scripts/generate-crd operator charts/interlink/files

.PHONY: verify
verify: verify-generated verify-modules verify-docs ## what is made is current, every module stands alone, documents lead somewhere

.PHONY: verify-generated
verify-generated:
	@scripts/verify-generated

.PHONY: verify-docs
verify-docs:
	@scripts/verify-docs && echo "documents: their links and names are there"

.PHONY: verify-modules
verify-modules:
	@for m in $(MODULES); do echo "# $$m: tidy, builds by itself"; \
	  (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build -o /dev/null ./... && GOWORK=off go mod verify >/dev/null); done

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	@cd tools && GOWORK=off go build -o ../bin/tools/staticcheck honnef.co/go/tools/cmd/staticcheck
	@for m in $(MODULES); do echo "# $$m"; (cd $$m && go vet -tags $(TAGS) ./... && ../bin/tools/staticcheck -tags $(TAGS) ./...); done

.PHONY: fuzz
fuzz: ## every fuzzer for FUZZTIME (60s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: vulncheck
vulncheck: ## known vulnerabilities in what is used
	@cd tools && GOWORK=off go build -o ../bin/tools/govulncheck golang.org/x/vuln/cmd/govulncheck
	@for m in proto services operator; do echo "# $$m"; (cd $$m && ../bin/tools/govulncheck ./...); done

.PHONY: images
images: ## the container images, with the container engine that is here
	@scripts/image build $(IMAGE) $(VERSION)
	@scripts/image build $(subst interlink:,interlink-operator:,$(IMAGE)) $(VERSION) operator

.PHONY: test-image
test-image: ## build the image, start it with the platform's environment, wait for its probe
	@scripts/image test $(IMAGE) $(VERSION)

# Suites that need more than Go (Node.js, a browser, a real Kafka and Redis), and the benchmarks.
-include test/test.mk
