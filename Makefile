# make pairwise   measure how inference services slow one another down on this machine
# make test       every test of the workspace
# Both do their own set-up. ARGS passes options on: make pairwise ARGS="--apps kalman-gru,tclf-rf --duration 10"

.PHONY: pairwise test lint setup

pairwise: setup
	cargo run --example pairwise -- $(ARGS)

test: setup
	cargo test --workspace $(ARGS)

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

setup:
	@sh scripts/setup.sh
