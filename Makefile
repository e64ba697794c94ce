# `make test` runs all tests and checks. It first sets up what they need.

export PATH := $(CURDIR)/target/tools/bin:$(PATH)
# One thing after the other, but for the checks: some tests compare times.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help quick test format unit browser database stack check cross msrv audit schema docs accuracy fuzz bench setup images up down clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

quick: setup-nextest ## the short tests: units, parsers, both gateways, the embedded front (under a minute once built)
	scripts/with-notes cargo nextest run --profile quick

# What fails most often comes first, after what takes a second. The checks compile in folders of their own, each on one
# CPU for most of the time.
test: format unit browser database stack ## all tests, then all checks
	scripts/beside '$(MAKE) check cross' '$(MAKE) msrv audit schema'

unit: setup-nextest ## all tests that need nothing but Rust
	scripts/with-notes cargo nextest run
	cargo test --quiet --doc

browser: setup-browser ## the tests of the live page, in Chromium
	scripts/with-notes cargo nextest run --run-ignored only --test live

database: setup-postgresql ## the tests of the database drivers, with a PostgreSQL server of their own
	scripts/with-notes cargo nextest run --run-ignored only --test database

# The second engine repeats what depends on the engine, and runs what takes long and need not run twice. On the first one
# the article is among the other experiments.
stack: images ## the tests in Docker: nginx alone, the whole stack, and on a second engine
	THREADLAB_TEST_NGINX='docker run --rm --network=host --volume={dir}:{dir} nginx:1.30.6-alpine nginx' \
	    scripts/with-notes cargo nextest run --run-ignored only --test front --test conformance
	scripts/with-notes cargo test --test compose -- --ignored --skip experiment::the_article_is --skip failover:: \
	    --skip losses::rolling --skip swarm::
	scripts/with-notes scripts/second-engine cargo test --test compose -- --ignored --skip configuration:: --skip database:: \
	    --skip disk:: --skip experiment::experiments --skip experiment::nginx --skip experiment::the_articles \
	    --skip losses::reloads --skip memory:: --skip replicas::

format:
	cargo fmt --check

check: format ## formatting, lints, documentation
	cargo clippy --all-targets -- -D warnings
	cargo clippy --package thread-states --no-default-features -- -D warnings
	cargo clippy --package thread-states --no-default-features --features exporter -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

cross: ## lints for macOS and Windows
	@if rustup target add x86_64-apple-darwin x86_64-pc-windows-gnu; then \
	    SDKROOT=/ CC_x86_64_apple_darwin=$(CURDIR)/scripts/no-compiler AR_x86_64_apple_darwin=$(CURDIR)/scripts/no-compiler \
	        cargo clippy --target x86_64-apple-darwin -- -D warnings && \
	    cargo clippy --target x86_64-pc-windows-gnu -p thread-states -- -D warnings; \
	else \
	    echo; \
	    echo "NOT CHECKED: other systems. rustup could not install their standard libraries."; \
	    echo; \
	fi

msrv: ## compile thread-states with its minimum supported Rust version, and test it with its oldest tokio
	scripts/msrv
	scripts/older-tokio

audit: setup-deny ## licences, sources and known vulnerabilities of the dependencies
	cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level off fetch db; then \
	    cargo deny check advisories; \
	else \
	    echo; \
	    echo "NOT CHECKED: advisories. The advisory database could not be fetched."; \
	    echo; \
	fi

schema: setup-grafana setup-kubernetes ## dashboards and Kubernetes objects against their published schemas
	PYTHONPATH=target/tools/grafana python3 -B scripts/check-dashboards
	PYTHONPATH=target/tools/kubernetes python3 -B scripts/check-kubernetes

docs: ## update the tables of docs/metrics.md and the Kubernetes rules from their sources
	UPDATE_DOCS=1 cargo test --test metrics_reference --test kubernetes

accuracy: ## measure the accuracy of the thread states (the table of docs/accuracy.md)
	cargo test -p thread-states --test ground_truth -- --ignored --nocapture accuracy

FUZZ_SECONDS ?= 60
fuzz: setup-fuzz ## give each fuzz target a minute of random input (FUZZ_SECONDS)
	for target in fuzz/fuzz_targets/*.rs; do \
	    name=$$(basename $$target .rs); mkdir -p target/fuzz/$$name; \
	    cargo +nightly fuzz run $$name target/fuzz/$$name fuzz/corpus/$$name -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=8192 || exit 1; \
	done

bench: ## measure the cost of the accounting, beside other servers (docs/cost.md)
	cargo bench --profile dist --bench cost

setup: ## install what the tests and checks need (on Debian)
	scripts/setup

setup-%:
	@scripts/setup $*

images: setup-docker ## the images of the stack: from a registry, or else stand-ins
	docker compose pull --ignore-buildable --policy missing || scripts/stand-in-images

up: ## start the lab in containers
	docker compose up --build --wait

down: ## stop the lab and delete its data
	docker compose down --volumes

clean: down ## delete all that was built
	docker compose down --volumes --rmi local
	cargo clean
