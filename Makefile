# mxcutover: everything a developer or CI runs. `make demo` and `make test` need
# Go and make only.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LINT    := $(CURDIR)/bin/golangci-lint-2.15.0
NFPM    := $(CURDIR)/bin/nfpm-2.45.2
SBOM    := $(CURDIR)/bin/cyclonedx-gomod-1.10.0
VULN    := $(CURDIR)/bin/govulncheck-1.9.0
RACE    ?= -race
export DIST ?= dist
export CGO_ENABLED ?= 0
# What is packaged bears the time of the commit, so that it is the same each time.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: build demo test lint fuzz bench golden chaos mutants conformance integration site man package release vuln clean

build: ## bin/mxcutover, static and reproducible
	$(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/mxcutover ./cmd/mxcutover

demo: build ## a whole migration in an embedded world, under a minute, no root
	./bin/mxcutover demo

test: ## everything that needs neither root nor the internet
	./scripts/test $(RACE) ./...

lint: $(LINT) ## formatting, vet, staticcheck and the rest of .golangci.yml
	$(GO) mod verify
	$(LINT) run --build-tags integration,bench,site ./...

$(LINT):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/golangci-lint $(LINT)

fuzz: ## each fuzz target for FUZZTIME (default 20s)
	./scripts/fuzz $(or $(FUZZTIME),20s)

bench: ## durable steps; RFC 2136 beside nsupdate, dnscontrol; DNS beside dnsperf, dig; SMTP beside smtp-source, swaks; logs beside eximstats, pflogsumm, mawk, zcat; the memory of many names; the screen's CPU and bytes
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) test -tags bench -count=1 -timeout 60m -run '^TestSpeed' -v ./providers ./verify/... ./traffic/logfile ./cmd/mxcutover ./tui

chaos: ## engines that die at every point, pairs of deaths, and N schedules of faults
	N=$(N) EVERY=$(EVERY) SEED=$(SEED) ./scripts/chaos

mutants: ## break a copy of the code on purpose; the tests must notice
	./scripts/mutants

man: ## dist/man (DIST=folder elsewhere): a manual page for every command
	rm -rf '$(DIST)/man' && mkdir -p '$(DIST)/man'
	$(GO) test -ldflags '-X main.version=$(VERSION)' -count=1 ./cmd/mxcutover -run '^TestManPages$$' -man.dir '$(abspath $(DIST))/man'

package: build man $(NFPM) ## dist/*.deb, dist/*.rpm: binary, manual, completions, units, documentation
	./scripts/package $(NFPM) '$(VERSION)'

release: $(SBOM) ## dist/release: binaries of all systems, built twice and compared, with sums and parts list; KEY=ssh-key signs them
	./scripts/release $(SBOM) '$(VERSION)' '$(KEY)'

vuln: $(VULN) ## known vulnerabilities in what is used, and in the binary
	./scripts/vuln $(VULN)

$(NFPM):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
	mv bin/nfpm $(NFPM)

$(SBOM):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
	mv bin/cyclonedx-gomod $(SBOM)

$(VULN):
	GOBIN=$(CURDIR)/bin $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv bin/govulncheck $(VULN)

golden: ## write the golden files anew; look at the diff
	$(GO) test ./report ./tui ./config ./firewall ./docs -update
	if command -v chromium >/dev/null; then $(GO) test -tags integration ./report -run TestIntegrationPicture -update; fi
	$(GO) test ./providers -run TestConformance -update
	$(GO) test ./providers -run TestDocs -update

conformance: ## the conformance suite at a real account: CONFIG=mxcutover.yaml PROVIDER=campus ZONE=example.org [MINTTL=60] [CLEANUP=name]
	$(GO) test -c -o bin/conformance.test ./providers/conformance
	./bin/conformance.test -test.v -test.timeout 0 -test.run '^TestAccount$$' -conformance.config '$(abspath $(or $(CONFIG),mxcutover.yaml))' \
	  -conformance.provider '$(PROVIDER)' -conformance.zone '$(ZONE)' -conformance.minttl '$(or $(MINTTL),0)' -conformance.cleanup '$(CLEANUP)'

integration: build $(NFPM) ## real BIND, Knot, PowerDNS, OpenSSH, mail servers, nftables and Chromium; needs root; installs what is missing
	./scripts/integration

site: build ## a migration of sixty domains at a whole site under continuous mail, with each message counted; needs root; installs what is missing; RUN=undisturbed or RUN=faults; RUN=stay leaves it up to be tried by hand
	RUN='$(RUN)' LOGS='$(LOGS)' ./scripts/site

clean:
	rm -rf bin dist
