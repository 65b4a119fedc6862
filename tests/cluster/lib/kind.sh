# A cluster of kind, where a Docker daemon answers.
# shellcheck shell=bash

kind_usable() {
  command -v kind >/dev/null && command -v docker >/dev/null && command -v kubectl >/dev/null && timeout 5 docker info >/dev/null 2>&1
}

# Two checkouts get two clusters.
kind_name() { echo "tradingbot-$(sha256sum <<<"$ROOT" | cut -c1-6)"; }

kind_up() { # number of nodes
  local name node nodes
  kind_usable || die "CLUSTER=kind needs kind, kubectl and a Docker daemon that answers ('docker info')."
  name=$(kind_name)
  if [[ -f $ENV_FILE ]] && kc --request-timeout 5s get --raw /readyz >/dev/null 2>&1; then
    say "The cluster is up already: KUBECONFIG=$KUBECONFIG"
    return
  fi
  kind delete cluster --name "$name" 2>/dev/null || true
  trap 'kind delete cluster --name "$(kind_name)"' EXIT
  # The control plane is a node of its own; bots run on the workers.
  {
    printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n'
    for ((node = 0; node < $1; node++)); do
      printf -- '- role: worker\n  labels: {topology.kubernetes.io/zone: %s}\n' "${ZONES[$((node % ${#ZONES[@]}))]}"
    done
  } | kind create cluster --name "$name" --kubeconfig "$OUT/kubeconfig" --wait 120s --config - || die "kind could not make the cluster."
  nodes=$(BIN='' kc get nodes -l '!node-role.kubernetes.io/control-plane' -o jsonpath='{.items[*].metadata.name}')
  BIN='' write_env CLUSTER_KIND=kind "KUBECONFIG=$OUT/kubeconfig" "NODES=$nodes" BIN= "KIND_NAME=$name"
  trap - EXIT
  say "The cluster is up after $(elapsed) s: $1 nodes. Use it with: . $ENV_FILE"
}

kind_load() { # image archives
  local archive
  for archive in "$@"; do
    kind load image-archive --name "$KIND_NAME" "$archive" || die "kind could not load $archive."
  done
}

kind_status() { kc get nodes -o wide; }

kind_down() {
  kind delete cluster --name "$KIND_NAME" || die "kind could not delete the cluster $KIND_NAME."
  rm -f "$ENV_FILE" "$OUT/kubeconfig"
}
