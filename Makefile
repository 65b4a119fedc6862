# What people and CI run. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help cluster cluster-down images check-images crds api-baseline manifests chart fmt lint workflows deny unit model \
  model-small simulation conformance wrong mutants fuzz fuzz-replay test e2e e2e-chart demo bench-failover bench-recovery bench-backup bench-gate bench-page gate-rounds \
  faults

# Test programs that need no cluster: every file of tests/, and every folder with a main.rs but these.
WITHOUT_CLUSTER := $(patsubst tests/%.rs,%,$(wildcard tests/*.rs)) \
  $(filter-out cel e2e,$(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs)))

HOST = $(shell rustc -vV | sed -n 's/^host: //p')

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

cluster: ## a test cluster, kubeconfig at target/cluster/kubeconfig  [NODES=3] [CLUSTER=existing|kind|local]
	@tests/cluster/cluster up

cluster-down: ## remove the test cluster and all that it made
	@tests/cluster/cluster down

images: ## build the programs and write target/images/operator.tar and demo.tar
	@images/build

check-images: ## compare target/images with what the Dockerfile's final stages make
	@images/check

crds: ## write crds/ and the chart's files/crds/ from the types
	@UPDATE=1 cargo test --quiet --lib -- --exact api::crds::tests::the_files_are_what_the_types_say

api-baseline: crds ## write down what the API has grown by; refuses what would break stored objects
	@UPDATE=1 cargo test --quiet --lib -- --exact api::baseline::a_version_only_grows

manifests: crds ## write manifests/install.yaml from the chart, and the tables of docs/reference/privileges.md from it
	@charts/manifest >target/install.yaml && mv target/install.yaml manifests/install.yaml
	@UPDATE=1 cargo test --quiet --test privileges -- --exact the_page_is_what_is_installed

chart: ## test the chart, without a cluster  [UPDATE=1 writes its snapshots and docs/reference/chart.md]
	@charts/test

fmt: ## format the code
	cargo fmt --all

lint: ## formatting, lints as errors, and that all files name one version
	@release/versions >/dev/null
	cargo fmt --all -- --check
	cargo clippy --all-targets --quiet -- -D warnings
	# The other packages ask for features that no product has.
	cargo clippy --workspace --exclude tradingbot-operator --all-targets --quiet -- -D warnings

workflows: ## check .github/workflows
	@tests/tools/workflows

deny: ## check the dependencies against deny.toml  [CHECKS="bans licenses sources"]
	@tests/tools/deny $(CHECKS)

unit: ## tests that need no cluster
	cargo test --lib --bins --examples $(WITHOUT_CLUSTER:%=--test %)
	cargo test --package tradingbot-leadership
	cargo test --package tradingbot-s3-server

model: ## explore large parts of the model for a state in which two may trade: half an hour  [BOUNDS="agents=2 crashes=1" of one's own]
	cargo run --package tradingbot-model -- $(BOUNDS)

model-small: ## a small part of it, and that it finds deliberate mistakes
	cargo test --package tradingbot-model -- --nocapture

simulation: ## operator and agents in simulated clusters, under faults drawn from seeds  [SEEDS=0..2000] [JOBS=2]
	cargo test --package tradingbot-simulation
	tests/simulation/run $(or $(SEEDS),0..2000) $(or $(JOBS),2)

conformance: ## what the simulated API server is held to, put to a real one: the test cluster, without an operator  [ONLY=real::p]
	tests/cluster/cluster up
	cargo test --package tradingbot-simulation --test conformance -- --ignored --test-threads 16 $(ONLY)

wrong: ## which simulated seed catches each deliberate mistake  [SEEDS=0..600] [JOBS=2]
	cargo run --release --package tradingbot-simulation --bin simulate -- --all-wrong \
	  --seeds $(or $(SEEDS),0..600) --jobs $(or $(JOBS),2)

mutants: ## small changes to src/core that no unit test notices (hours)  [ONLY=pattern] [AGAIN=1] [JOBS=2]
	cargo test --package tradingbot-core
	@JOBS=$(JOBS) AGAIN=$(AGAIN) tests/tools/mutants $(ONLY)

fuzz: ## look for inputs that break a promise, under coverage  [SECONDS=60 each] [TARGET=lease]
	@tests/fuzz/run $(or $(SECONDS),60) $(TARGET)

fuzz-replay: ## what make fuzz has found, step by step
	FUZZ_TRACE=1 cargo test --test fuzz -- --ignored --nocapture what_was_found_is_mended

test: ## everything: lint, unit, model, and on a cluster CEL and end-to-end  [KEEP=1 keeps the cluster]
	@tests/all

e2e: images ## the end-to-end suite, or the part whose names contain ONLY  [ONLY=pattern] [KEEP=1]
	KEEP=$(KEEP) tests/e2e/run $(ONLY)

e2e-chart: images ## install, upgrade and uninstall with Helm while a bot trades  [KEEP=1]
	KEEP=$(KEEP) tests/e2e/chart/run

demo: images ## a bot survives a crash, a kill, a cut node and a restart, judged by the exchange  [KEEP=1]
	KEEP=$(KEEP) examples/demo/run

bench-failover: images ## how long nobody trades: target/bench/failover.json  [RUNS=10] [KEEP=1]
	KEEP=$(KEEP) tests/e2e/run --ignored bench_failover

bench-recovery: images ## how soon a bot that is ill trades again: target/bench/recovery.json  [RUNS=10] [KEEP=1]
	KEEP=$(KEEP) tests/e2e/run --ignored bench_recovery

bench-backup: ## 1 GiB to an S3 server beside a plain client: target/bench/backup.json  [RUNS=3]
	@tests/backup/bench

bench-page: ## what a bot's check before an order costs, nanoseconds: target/bench/page.json
	cargo run --quiet --release --package tradingbot-leadership --example bench_page -- $(CURDIR)/target/bench/page.json

gate-rounds: images ## orders on the way at every fault, with the order gate and without: target/bench/gate-rounds.json  [SERIES=2] [KEEP=1]
	KEEP=$(KEEP) tests/e2e/run --ignored gate_rounds_all

faults: images ## the fault matrix, into docs/reliability.md and target/bench/faults.json  [ONLY='frozen|of_nodes'] [ROUNDS=n] [KEEP=1]
	tests/cluster/skewed target/images/skewed.tar
	KEEP=$(KEEP) ONLY="$(ONLY)" ROUNDS=$(ROUNDS) MORE_IMAGES=target/images/skewed.tar tests/e2e/run --ignored faults_all

# The agent as it is shipped; only the clients and servers around it are built for tests.
bench-gate: ## what the order gate costs, and how exactly it cuts: target/bench/gate.json
	cargo build --profile agent --no-default-features --features agent --bin tradingbot-agent
	TRADINGBOT_AGENT=$(abspath $(or $(CARGO_TARGET_DIR),target))/$(HOST)/agent/tradingbot-agent \
	  cargo test --test agent -- --ignored --nocapture --exact bench::bench_gate
