# Two targets are all a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: help build run demo test tools check unit manifests conformance chaos ha roll fuzz bench release reproduce clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build the proxy and the mock upstream into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

run: ## serve on port 10000 with OPENAI_API_KEY from the environment
	$(GO) run ./cmd/openai-api-proxy

demo: build ## the proxy in front of a mock upstream: a streamed answer without any key
	@deploy/demo.sh $(BIN)

test: tools check unit manifests conformance ## everything that runs on a change
	@$(MAKE) --no-print-directory chaos STORM=12s RACE=1

tools: ## install what the tests need beside Go and Node, where it is missing
	@deploy/tools.sh

check: ## formatting and vet
	@test -z "$$(gofmt -l cmd pkg deploy)" || { gofmt -l cmd pkg deploy; echo 'run gofmt on these files'; exit 1; }
	$(GO) vet ./...

unit: ## Go tests, with the race detector and in random order
	$(GO) test -race -shuffle=on -count=1 -timeout 40m ./...

manifests: ## compose and Kubernetes files, against the libraries that will read them
	cd deploy/check && $(GO) test -shuffle=on -count=1 ./...

chaos: tools ## a storm of STORM (default 3m): replicas killed, Redis frozen, killed, failing over, keys failing; SEED=n repeats it
	$(GO) test $(if $(RACE),-race) -count=1 -v -timeout 15m -run 'TestChaos$$' ./pkg/chaos -chaos.for=$(or $(STORM),3m) \
		$(if $(RACE),-chaos.race) $(if $(SEED),-chaos.seed=$(SEED))

ha: tools ## the shared state on a three-node Cluster and behind Sentinel, and what failovers, moved slots and a full Redis lose
	$(GO) test -race -count=1 -v -run 'TestCluster|TestSentinel' ./pkg/state/redisstate
	$(GO) test -count=1 -v -run 'TestFailover|TestSlotMove|TestFull' ./pkg/chaos -chaos.ha

roll: tools ## five rolling updates under 1,000 open streams, behind nginx and Caddy
	ROLL=full $(GO) test -count=1 -v -timeout 30m -run TestRoll ./pkg/rollout

conformance: ## the official SDKs and the README's examples against the real binaries
	pkg/conformance/run.sh

fuzz: ## every fuzz target for FUZZTIME each (default 200000x)
	@deploy/fuzz.sh $(or $(FUZZTIME),200000x)

bench: tools build ## what it costs, beside nginx and a bare ReverseProxy, into docs/performance.md (BENCH=short: roughly)
	$(GO) run ./deploy/bench -proxy $(BIN)/openai-api-proxy $(if $(filter short,$(BENCH)),-short -docs '')

release: ## archives for six platforms and their checksums in dist/; the same commit and Go make the same bytes
	$(GO) run ./deploy/release -version '$(VERSION)' -time "$$(git log -1 --format=%ct)"

reproduce: ## build a release twice, the second time from nothing in another folder, and compare
	RELEASE=full $(GO) test -count=1 -v -timeout 30m ./deploy/release

clean: ## remove what was built
	rm -rf $(BIN) dist
