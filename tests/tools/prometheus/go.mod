// The kinds of the Prometheus Operator that the chart can make objects of: what they are checked against. To move the
// version: change it below, then run `go mod download` here.
module tradingbot-operator/tests/tools/prometheus

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
