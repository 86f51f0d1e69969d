# make pairwise   measure how inference services slow one another down on this machine
# make test       every test of the workspace
# make figures    every figure and table of docs/results/, from simulated servers and the sample dataset; under 20 minutes
# make standalone a project of its own that depends on the crates by path and uses each
# make image      an OCI image of the inference services, with podman, buildah or docker; IMAGE names it
# make image-tar  the same as an archive, target/image/neuro-app.tar, without any of them
# The first two do their own set-up. ARGS passes options on: make pairwise ARGS="--apps kalman-gru,tclf-rf --duration 10"

.PHONY: pairwise test lint figures standalone image image-tar setup

pairwise: setup
	cargo run --example pairwise -- $(ARGS)

test: setup
	cargo test --workspace $(ARGS)

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

figures: setup
	cargo build -p neuro-cli
	cargo run --example figures -- $(ARGS)

standalone: setup
	cp Cargo.lock examples/standalone/Cargo.lock
	CARGO_TARGET_DIR=target/standalone cargo run --manifest-path examples/standalone/Cargo.toml

image:
	@sh scripts/image.sh build

image-tar:
	@sh scripts/image.sh tar

setup:
	@sh scripts/setup.sh
