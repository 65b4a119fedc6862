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
