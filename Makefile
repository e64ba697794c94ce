# `make test` tests everything and first sets up what that needs.

export PATH := $(CURDIR)/target/tools/bin:$(PATH)
# One thing after the other: the tests compare times.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help test check elsewhere audit schema unit accuracy bench browser stack setup images up down clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

test: setup check elsewhere audit schema unit browser stack ## test everything (about 20 minutes at first)

check: ## formatting, lints, documentation
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

elsewhere: ## that it compiles on other systems than Linux
	@if rustup target add x86_64-apple-darwin x86_64-pc-windows-gnu; then \
	    cargo clippy --target x86_64-apple-darwin -- -D warnings && \
	    cargo clippy --target x86_64-pc-windows-gnu -p thread-states -- -D warnings; \
	else \
	    echo; \
	    echo "NOT CHECKED: other systems. Their standard libraries cannot be fetched from here, or not by rustup."; \
	    echo; \
	fi

audit: setup ## licences, sources and known faults of the dependencies
	cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level off fetch db; then \
	    cargo deny check advisories; \
	else \
	    echo; \
	    echo "NOT CHECKED: advisories. The advisory database cannot be fetched from here."; \
	    echo; \
	fi

schema: setup ## the dashboards, by Grafana's published schema
	PYTHONPATH=target/tools/grafana python3 -B scripts/check-dashboards

unit: ## what needs nothing but Rust
	cargo test

accuracy: ## the table of docs/accuracy.md: what the thread states are demanded to be, and what they are
	cargo test -p thread-states --test ground_truth -- --ignored --nocapture accuracy

bench: ## what the accounting costs, beside other servers (docs/cost.md)
	cargo bench --bench cost

browser: setup ## what needs a browser: the live page
	cargo test --test live -- --ignored --test-threads 1

stack: images ## what needs Docker: nginx alone, then the whole stack
	THREADLAB_TEST_NGINX='docker run --rm --network=host --volume={dir}:{dir} nginx:1.30.4-alpine nginx' \
	    cargo test --test front -- --ignored
	cargo test --test compose -- --ignored --test-threads 1

setup:
	scripts/setup

images: setup ## the images of the stack: from a registry, or else stand-ins
	docker compose pull --ignore-buildable --policy missing || scripts/stand-in-images

up: ## start the lab in containers
	docker compose up --build --wait

down: ## stop the lab and forget its data
	docker compose down --volumes

clean: down ## and remove what was built
	docker compose down --volumes --rmi local
	cargo clean
