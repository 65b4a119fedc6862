# What people and CI run. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help cluster cluster-down images crds manifests fmt lint unit test e2e model demo bench-failover

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

cluster: ## a test cluster: target/cluster/kubeconfig  [NODES=3] [CLUSTER=existing|kind|local]
	tests/cluster/cluster up

cluster-down: ## remove the test cluster and all that it made
	tests/cluster/cluster down

e2e: images ## the end-to-end suite, or the part whose names contain ONLY  [ONLY=pattern] [KEEP=1]
	KEEP=$(KEEP) tests/e2e/run $(ONLY)

bench-failover: images ## how long nobody trades: target/bench/failover.json  [RUNS=10] [KEEP=1]
	KEEP=$(KEEP) tests/e2e/run --ignored bench_failover
