# make run · make test · make bench — the rest serves these.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export CARGO_TERM_COLOR ?= auto

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## ?/\1\t/' | expand -t 14

# ---- what the machine needs; ./tests/packages.sh knows the lists and asks sudo when it has to ----
.PHONY: need-run need-test need-bench need-deb need-image need-emulator need-cross
need-run:
	@tests/packages.sh run
need-test:
	@tests/packages.sh run test
need-bench:
	@tests/packages.sh run test bench
need-deb:
	@tests/packages.sh run deb
need-image:
	@tests/packages.sh run deb image
need-emulator:
	@tests/packages.sh emulator
need-cross:
	@tests/packages.sh cross

# ---- the pages ----
UI := appliance/ui
UI_SOURCES := $(shell find $(UI)/src $(UI)/public $(UI)/*.html $(UI)/*.ts $(UI)/package-lock.json appliance/protocol/catalogue -type f 2>/dev/null)
.PHONY: ui
ui: $(UI)/dist/.built ## build the pages
$(UI)/node_modules/.installed: $(UI)/package-lock.json
	@echo "· installing what the pages are built with"
	@# not 'npm ci': it asks for the optional packages of every other platform
	cd $(UI) && npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@
$(UI)/dist/.built: $(UI)/node_modules/.installed $(UI_SOURCES)
	@echo "· building the pages"
	cd $(UI) && npm run --silent build
	@touch $@

# ---- the programs ----
# Cargo unites the features of what is named, and another choice builds much of it again. Who only runs the box is spared
# what the tests alone need (a third more crates); where the tests were built before, theirs are as good: nothing is built
# twice. A test among the targets (`tidy`, the smallest) brings the same features as `make test` does.
PROGRAMS := -p appliance -p display-client -p studio
ifneq ($(wildcard target/debug/bench),)
PROGRAMS := --workspace --bins --test tidy
endif
.PHONY: build
build: ui
	@echo "· building the programs (the first time takes several minutes)"
	cargo build --locked $(PROGRAMS)

.PHONY: run
run: need-run build ## start the box with a demo class and, with a display, the panel's window
	@exec tests/demo.sh target/debug

# ---- checks ----
.PHONY: test
test: need-test ui ## every test, from the unit to the classroom
	@tests/run.sh

.PHONY: day
day: need-test ui ## a school day with every part, from the morning to the backup; prints the timetable
	@tests/run.sh build day

.PHONY: lint
lint: ## format, lints, types of the pages
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd $(UI) && npm run --silent check

SECONDS_EACH ?= 60
.PHONY: fuzz
fuzz: need-run ## fuzz every parser; ONLY=sdp for one, SECONDS_EACH=600 for longer
	tests/fuzz/run.sh $(SECONDS_EACH) $(ONLY)

.PHONY: deny
deny: ## licences and advisories of every crate
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked --workspace --config .cargo/deny.toml check licenses bans sources
	@# The list of advisories is fetched from its maker, so this one needs a line to the outside.
	cargo deny --locked --workspace --config .cargo/deny.toml check advisories

.PHONY: bench
bench: need-bench ui ## measure against the peers; ONLY=cast for one family
	cargo build --locked --release --workspace
	@# Networks of their own need root, as in tests/run.sh.
	as=(); ((EUID == 0)) || as=(sudo -E env "PATH=$$PATH" "HOME=$$HOME"); "$${as[@]}" target/release/bench $(if $(ONLY),--only $(ONLY))

# ---- packages and the image; BIN= names a folder with programs that are built already ----
BIN ?=
.PHONY: programs
programs: ui
	@[[ -n "$(BIN)" ]] || cargo build --locked --release --workspace --bins

.PHONY: deb
deb: need-deb programs ## Debian packages in target/deb
	image/deb.sh $(or $(BIN),target/release) target/deb

.PHONY: image
image: need-image programs ## the flashable image for a PC; MIRROR= names a Debian mirror
	image/pc-x86_64/build.sh $(or $(BIN),target/release)

.PHONY: test-image
test-image: need-test need-emulator image ## start the image in an emulated PC and cast to it
	tests/run.sh image

.PHONY: cross
cross: need-cross ui ## the programs for arm64, and their tests under emulation; ENGINE=cross uses a container engine
	image/cross/cross.sh $(ENGINE)
