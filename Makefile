# Agogo. `make help` lists the targets; `make demo` and `make test` need Go and make only.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
BIN      := $(CURDIR)/bin
TOOLS    := bin/tools
ARGS     ?=
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
SERVICES := scheduler payouts recurrences notifier
PACKAGES := ./... ./test/...

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z/-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Pay drivers in Abidjan and charge a club in São Paulo, with everything on this machine (ARGS="--once", "--seed 7 --once")
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/agogo ./cmd/agogo
	@$(BIN)/agogo demo $(ARGS)

.PHONY: dev
dev: ## Run everything in one process with embedded NATS and Postgres (ARGS="--ports free")
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/agogo ./cmd/agogo
	@$(BIN)/agogo dev $(ARGS)

.PHONY: build
build: ## Build every binary into bin/, with the NATS server that they are tested with
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/agogo $(foreach s,$(SERVICES),./services/$(s)/cmd/$(s))
	$(GO) build -ldflags '-s -w' -o $(BIN)/ github.com/nats-io/nats-server/v2

.PHONY: test
test: ## Run all tests against real Postgres and NATS
	$(GO) test -timeout 10m $(PACKAGES)

.PHONY: test/race
test/race: ## Run all tests with the race detector
	$(GO) test -race -timeout 20m $(PACKAGES)

# Rights of roles changed with Postgres 16, and Debian's may be older.
.PHONY: test/postgres-versions
test/postgres-versions: ## Test what depends on the version of Postgres on the one that agogo dev downloads (needs npm's registry)
	AGOGO_POSTGRES_BIN=download $(GO) test -count=1 -timeout 10m ./internal/pg ./cmd/agogo/internal/provision -run 'Prepare|Provisioning|Others|NobodyElse' $(ARGS)

.PHONY: test/soak
test/soak: ## Live through random histories of payouts for half an hour (ARGS="-histories 2h -timeout 3h", "-rapid.seed 7")
	$(GO) test -count=1 -timeout 1h ./services/payouts/internal/payoutstest/histories -run TestAnyHistory -v -histories 30m $(ARGS)

.PHONY: test/crash
test/crash: ## Kill the process at every crash point in turn and check the provider's book
	$(GO) build -tags crashpoints -o $(BIN)/agogo-crash ./cmd/agogo
	AGOGO_CRASH_BINARY=$(BIN)/agogo-crash $(GO) test -count=1 -parallel 3 -timeout 20m -tags crash ./test/chaos/...

.PHONY: bench
bench: ## Payouts a second beside a bare HTTP loop (ARGS="-scale 10", "-latency 200ms -concurrency 256"); see bench/README.md
	$(GO) build -o $(BIN)/agogo ./cmd/agogo
	$(GO) run ./bench/payouts $(ARGS)

.PHONY: bench/floor
bench/floor: ## The least that the parts of a payout cost: the same rows, calls and messages with nothing decided (ARGS="-payouts 20000")
	$(GO) build -o $(BIN)/agogo ./cmd/agogo
	$(GO) run ./bench/floor $(ARGS)

.PHONY: bench/plan
bench/plan: ## Plan a million payments of 100,000 payees (ARGS="-history 10000000 -plans plans.log")
	$(GO) build -o $(BIN)/agogo ./cmd/agogo
	$(GO) run ./bench/plan $(ARGS)

# Images of every binary, the same bytes from the same commit. REPO is the registry and folder, PUSH=1 pushes.
REPO      ?= agogopay
PLATFORMS ?= linux/amd64,linux/arm64
OUT       ?= dist/images
EPOCH     ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
.PHONY: images
images: $(TOOLS)/images ## Make container images, with their SBOM and provenance, in dist/images (REPO=registry/folder PLATFORMS=linux/amd64 PUSH=1)
	$(TOOLS)/images -out $(OUT) -repo $(REPO) -version $(VERSION) -epoch $(EPOCH) -commit $$(git rev-parse HEAD) $(if $(shell git status --porcelain 2>/dev/null),-dirty) -platforms $(PLATFORMS) $(if $(PUSH),-push) \
		agogo=./cmd/agogo $(foreach s,$(SERVICES),agogo-$(s)=./services/$(s)/cmd/$(s)) agogo-nats=github.com/nats-io/nats-server/v2

.PHONY: test/images
test/images: ## Test the tool that makes images: twice the same source, twice the same bytes
	cd tools/images && GOWORK=off $(GO) test ./...

.PHONY: test/chart
test/chart: $(TOOLS)/helm ## Test the Helm chart: templates, schema, lint (ARGS=-update writes the templates' pictures anew)
	$(GO) test -tags chart -count=1 ./deploy/helm $(ARGS)

.PHONY: test/apiserver
test/apiserver: $(TOOLS)/helm $(TOOLS)/kube-apiserver .cache/crds etcd ## Install every profile of the chart on a real Kubernetes API server (needs etcd; INSTALL=1 installs it on Debian)
	$(GO) test -tags apiserver -count=1 ./cmd/agogo/internal/provision/apiserver $(ARGS)

.PHONY: test/rules
test/rules: ## Test the alerts: each fires when it should and not before, on Prometheus's own engine
	cd tools/rules && GOWORK=off $(GO) test -count=1 ./...

.PHONY: test/compose
test/compose: ## Test the compose file: Docker Compose's own loader and schema judge it
	cd tools/compose && GOWORK=off $(GO) test -count=1 ./...

# A real node: Kubernetes, our images in two versions, Postgres and the simulator, without a registry or anybody else's cluster.
NODE := $(TOOLS)/cluster $(TOOLS)/helm $(addprefix $(TOOLS)/,kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns)
.PHONY: cluster
cluster: packages $(NODE) cluster/images ## Bring up a real Kubernetes node with Agogo on it, and run both tenants' demo from outside (Debian, root; installs packages, and says so; 20 minutes the first time)
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/agogo ./cmd/agogo
	$(TOOLS)/cluster up
	$(TOOLS)/cluster install
	AGOGO_CONTEXT=/var/lib/agogo-cluster/standard/context.json $(BIN)/agogo demo --installed --once
	@echo "it stays up: export AGOGO_CONTEXT=/var/lib/agogo-cluster/standard/context.json KUBECONFIG=/var/lib/agogo-cluster/kubeconfig-admin; make cluster/down takes it away"

.PHONY: cluster/down
cluster/down: $(TOOLS)/cluster ## Take the node and everything of it away
	$(TOOLS)/cluster down

.PHONY: test/cluster
test/cluster: packages $(NODE) cluster/images ## Test the chart with pods that run: demo, upgrade, kill -9, drain, memory; takes the node away whatever happens (ARGS="-run Economy")
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/agogo ./cmd/agogo
	@trap '$(TOOLS)/cluster down' EXIT; $(TOOLS)/cluster up && $(GO) test -tags cluster -count=1 -timeout 60m -v ./test/cluster $(ARGS)

# The images of the node: ours as versions one and two, and the container that holds a pod's network.
.PHONY: cluster/images
cluster/images: $(TOOLS)/images
	@rm -rf dist/cluster; echo "building images (5 minutes with an empty cache)"
	@for version in one two; do $(MAKE) --no-print-directory images OUT=dist/cluster/$$version VERSION=$$version REPO=agogopay PLATFORMS=linux/$$($(GO) env GOARCH) || exit 1; done
	@$(TOOLS)/images -root tools/cluster -out dist/cluster/one -repo agogopay -version one -epoch $(EPOCH) -platforms linux/$$($(GO) env GOARCH) pause=./pause

# What of Debian a node needs. Who asks for a node asks for these too, unless INSTALL=0 says otherwise; nothing else here installs unasked.
.PHONY: packages
cluster test/cluster: export INSTALL ?= 1
packages:
	@tools/debian/install.sh etcd-server=etcd containerd=containerd runc=runc iptables=iptables iproute2=ip conntrack=conntrack openssl=openssl \
		'containernetworking-plugins=/usr/lib/cni/bridge' 'postgresql=/usr/lib/postgresql/*/bin/postgres'

# The tools that we wrote; the other modules of tools/ only pin somebody else's.
OURS := cluster compose images rules suite
.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/buf .cache/protovalidate ## Lint Go and protos
	@for module in $(OURS); do (cd tools/$$module && GOWORK=off $(CURDIR)/$(TOOLS)/golangci-lint run ./...) || exit 1; done
	$(TOOLS)/golangci-lint run $(PACKAGES)
	$(TOOLS)/golangci-lint run --build-tags crash,crashpoints ./test/chaos/... ./internal/crashpoint/...
	$(TOOLS)/golangci-lint run --build-tags chart ./deploy/helm/...
	$(TOOLS)/golangci-lint run --build-tags apiserver ./cmd/agogo/internal/provision/apiserver/...
	$(TOOLS)/golangci-lint run --build-tags cluster ./test/cluster/...
	$(TOOLS)/buf lint

.PHONY: gen
gen: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc $(TOOLS)/sqlc .cache/protovalidate ## Generate protos, SQL and event docs
	$(TOOLS)/buf generate
	$(TOOLS)/sqlc generate
	$(GO) run ./internal/event/docs > docs/events/README.md
	$(GO) run ./deploy/helm/reference > deploy/helm/agogo/README.md
	$(GO) run ./cmd/agogo provision nats-conf > deploy/helm/agogo/files/nats-accounts.conf
	@mkdir -p deploy/helm/agogo/files/prometheus deploy/helm/agogo/files/grafana
	cp deploy/prometheus/*.yaml deploy/helm/agogo/files/prometheus/ && cp deploy/grafana/*.json deploy/helm/agogo/files/grafana/

.PHONY: verify
verify: gen ## Fail when generated code, modules or docs are not what their sources say
	$(GO) mod tidy -diff
	GOWORK=off $(GO) build ./...
	@git diff --exit-code --stat -- proto/gen docs/events deploy/helm/agogo ':(glob)**/db/*.go' || { echo "generated files were stale: commit what 'make gen' wrote"; exit 1; }

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN) .cache dist

# Pinned tools, each a module of its own outside go.work, so that none changes what we build.
$(TOOLS)/%: tools/%/go.mod
	@echo "building $* (once; this takes up to two minutes)"
	@mkdir -p $(TOOLS) && cd tools/$* && GOWORK=off $(GO) build -o $(CURDIR)/$(TOOLS)/$* $$(sed -n 's/^tool //p' go.mod)

$(TOOLS)/suite: tools/suite/main.go
	@cd tools/suite && GOWORK=off $(GO) build -o $(CURDIR)/$(TOOLS)/suite .

$(TOOLS)/images: $(wildcard tools/images/*.go) tools/images/go.mod
	@cd tools/images && GOWORK=off $(GO) build -o $(CURDIR)/$(TOOLS)/images .

$(TOOLS)/cluster: $(wildcard tools/cluster/*.go) tools/cluster/go.mod
	@cd tools/cluster && GOWORK=off $(GO) build -o $(CURDIR)/$(TOOLS)/cluster .

# CoreDNS with the plugins of tools/coredns.
$(TOOLS)/coredns: tools/coredns/main.go tools/coredns/go.mod
	@echo "building coredns (once; three minutes on two cores with an empty cache)"
	@cd tools/coredns && GOWORK=off CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o $(CURDIR)/$(TOOLS)/coredns .

# buf needs the source of validate.proto; the module that holds it is pinned in tools/protovalidate.
.cache/protovalidate: tools/protovalidate/go.mod
	@cd tools/protovalidate && GOWORK=off $(GO) mod download github.com/bufbuild/protovalidate
	@mkdir -p $@/buf/validate && dir=$$(cd tools/protovalidate && GOWORK=off $(GO) list -m -f '{{.Dir}}' github.com/bufbuild/protovalidate) && \
		cp -f $$dir/proto/protovalidate/buf/validate/validate.proto $@/buf/validate/ && chmod -R u+w $@ && touch $@

# Kubernetes itself, of one pinned version. Each program is built once, and one at a time: the API server takes 2 GB while it links.
KUBERNETES = $(shell sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' tools/kubernetes/go.mod)
KUBESTAMP  = -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(KUBERNETES))) -X k8s.io/component-base/version.gitTreeState=clean
KUBE       = $(addprefix $(TOOLS)/,kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
$(KUBE): tools/kubernetes/go.mod
	@echo "building $(@F) $(KUBERNETES) (once; on two cores and with an empty cache the API server takes 7 minutes, the others 2 at most)"
	@mkdir -p $(TOOLS) && began=$$SECONDS && cd tools/kubernetes && GOWORK=off CGO_ENABLED=0 $(GO) build -ldflags "-s -w $(KUBESTAMP)" -o $(CURDIR)/$@ k8s.io/kubernetes/cmd/$(@F) && \
		echo "built $(@F) in $$((SECONDS - began)) s"

# The definitions of operators' kinds, from the operators' own releases.
.cache/crds: tools/crds/go.mod
	@cd tools/crds && GOWORK=off $(GO) mod download $$(sed -n 's/^\t\([^ ]*\) v.*/\1/p' go.mod)
	@mkdir -p $@ && cd tools/crds && from() { GOWORK=off $(GO) list -m -f '{{.Dir}}' $$1; } && \
		cp -f $$(from github.com/prometheus-operator/prometheus-operator)/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml \
			$$(from github.com/cert-manager/cert-manager)/deploy/crds/cert-manager.io_certificates.yaml $$(from github.com/kedacore/keda/v2)/config/crd/bases/keda.sh_scaledobjects.yaml \
			$$(from github.com/cloudnative-pg/cloudnative-pg)/config/crd/bases/postgresql.cnpg.io_clusters.yaml $(CURDIR)/$@/ && chmod -R u+w $(CURDIR)/$@ && touch $(CURDIR)/$@

# etcd is the one thing that an API server needs and Go's modules do not bring: Debian's package does (INSTALL=1).
.PHONY: etcd
etcd:
	@tools/debian/install.sh etcd-server=etcd
