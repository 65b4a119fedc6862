# The local cluster: several real nodes on this machine. For each cluster an index is claimed, from which its name
# (of cgroup, namespaces and link) and its folders follow, so clusters of several checkouts live side by side.
# shellcheck shell=bash

CLUSTERS_RUN=/run/tradingbot-cluster       # sockets and process ids; claimed by making the folder of an index
CLUSTERS_STATE=/var/lib/tradingbot-cluster # keys, etcd, containers, volumes

local_use() { # index
  CLUSTER_INDEX=$1
  CLUSTER_NAME=tradingbot-$1
  RUN=$CLUSTERS_RUN/$1
  STATE=$CLUSTERS_STATE/$1
  # The programs started in the nodes' namespaces read these.
  export CLUSTER_INDEX CLUSTER_NAME RUN STATE BIN CACHE
}

# What all clusters of this machine share is changed under one lock. /run itself is locked, so that no file is left.
machine_lock() { exec 9</run; flock 9; }
machine_unlock() { exec 9<&-; }

local_check() {
  [[ $(uname -s) == Linux ]] || die "The local cluster needs Linux; set CLUSTER=kind with Docker, or CLUSTER=existing with a KUBECONFIG."
  [[ $EUID -eq 0 ]] || die "The local cluster needs root: run it with sudo, or set CLUSTER=kind with Docker, or CLUSTER=existing with a KUBECONFIG."
  unshare --net --mount true 2>/dev/null || die "The local cluster needs the right to make network and mount namespaces: run a container with --privileged."
  if cgroup_v2; then
    [[ -w $CGROUPS/cgroup.subtree_control ]] || die "The local cluster needs a writable cgroup tree at $CGROUPS."
  else
    [[ -w $CGROUPS/pids && -w $CGROUPS/freezer ]] || die "The local cluster needs the writable cgroup controllers pids and freezer at $CGROUPS."
  fi
}

local_check_network() {
  unshare --net sh -c 'ip link add probe0 type veth peer name probe1 && ip link add probe2 type bridge && nft add table inet x' 2>/dev/null ||
    die "The local cluster needs veth, bridge and nftables in the kernel: load the modules veth, bridge and nf_tables."
}

local_claim() { # writes the owner last: a claim without an owner is one that is just being made
  local index
  machine_lock
  mkdir -p "$CLUSTERS_RUN" "$CLUSTERS_STATE" /run/netns
  for index in {0..63}; do
    if mkdir "$CLUSTERS_RUN/$index" 2>/dev/null; then
      rm -rf --one-file-system "${CLUSTERS_STATE:?}/$index" # of before a reboot
      echo "$ROOT" >"$CLUSTERS_RUN/$index/owner"
      mkdir -p "$CLUSTERS_STATE/$index" "${NODE_MOUNTS[@]}"
      machine_unlock
      local_use "$index"
      return
    fi
  done
  die "This machine has 64 test clusters already, see $CLUSTERS_RUN: remove some with 'make cluster-down' in their checkouts."
}

local_up() { # number of nodes
  local count=$1 nodes=() node booting=()
  # shellcheck disable=SC2153  # from target/cluster/env
  if [[ -f $ENV_FILE ]] && local_healthy; then
    say "The cluster is up already: $(wc -w <<<"$NODES") nodes, KUBECONFIG=$KUBECONFIG"
    return
  fi
  local_check
  parts_ensure
  local_check_network
  local_down_leftovers
  BIN=$(parts_bin)
  for ((node = 1; node <= count; node++)); do nodes+=("node$node"); done
  # shellcheck disable=SC2034  # elapsed counts from here
  STARTED=$EPOCHREALTIME

  local_claim
  trap 'local_failed' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  rm -rf "$LOGS"
  control_up
  for node in "${nodes[@]}"; do node_prepare "$node"; done
  network_routes "${nodes[@]}"
  wait_until 60 "the API server (see $LOGS/apiserver.log)" apiserver_ready
  start_controllers
  for node in "${nodes[@]}"; do
    node_start "$node" &
    booting+=($!)
  done
  for node in "${booting[@]}"; do wait "$node" || die "A node did not start, see $LOGS."; done
  volumes_up "${nodes[@]}"
  dns_refused | kc apply -f - >/dev/null
  wait_until 60 "$count nodes to be Ready (see $LOGS)" nodes_ready "$count"
  # Pods are refused until the controller manager has made the account they run as.
  wait_until 30 "the default service account" kc get serviceaccount default
  write_env CLUSTER_KIND=local "KUBECONFIG=$OUT/kubeconfig" "NODES=${nodes[*]}" "BIN=$BIN" "CLUSTER_INDEX=$CLUSTER_INDEX" \
    "CLUSTER_NAME=$CLUSTER_NAME" "RUN=$RUN" "STATE=$STATE" "AUDIT_LOG=$AUDIT_LOG"
  trap - EXIT INT TERM
  say "The cluster is up after $(elapsed) s: $count nodes. Use it with:"
  say "  export KUBECONFIG=$OUT/kubeconfig PATH=$BIN:\$PATH     # or: . $ENV_FILE"
}

# There is no DNS. A Service without endpoints is refused by kube-proxy, so a look-up fails at once instead of hanging.
dns_refused() {
  cat <<YAML
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $SERVICE_NET.10
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
YAML
}

nodes_ready() { # number
  [[ $(kc get nodes --no-headers 2>/dev/null | grep -cw Ready) -eq $1 ]]
}

local_healthy() {
  local_use "$CLUSTER_INDEX"
  [[ -d $RUN && $(cat "$RUN/owner" 2>/dev/null) == "$ROOT" ]] && apiserver_ready && nodes_ready "$(wc -w <<<"$NODES")"
}

local_failed() {
  local status=$?
  trap - EXIT
  say "cluster: bringing it up failed; its logs stay in $LOGS, the rest is removed."
  local_remove "$CLUSTER_INDEX"
  exit "$((status == 0 ? 1 : status))"
}

local_load() { # image archives
  local archive node loads=()
  for archive in "$@"; do
    [[ -f $archive ]] || die "There is no image archive $archive; 'make images' writes ours."
    for node in $NODES; do
      node_ctr "$node" images import "$archive" >/dev/null &
      loads+=($!)
    done
    for node in "${loads[@]}"; do wait "$node" || die "A node could not import $archive."; done
    loads=()
  done
}

local_status() {
  local_use "$CLUSTER_INDEX"
  local node name
  say "Local cluster $CLUSTER_INDEX of $(cat "$RUN/owner"), logs in $LOGS"
  for name in etcd apiserver controller-manager scheduler volumes; do
    printf '  %-20s %s\n' "$name" "$(recorded_pid "$name" || echo gone)"
  done
  for node in $NODES; do
    printf '  %-20s %s %s, kubelet %s, containerd %s\n' "$node" "$(node_address "$node")" "$(node_zone "$node")" \
      "$(recorded_pid "kubelet-$node" || echo gone)" "$(recorded_pid "containerd-$node" || echo gone)"
  done
  kc --request-timeout 5s get nodes -o wide
}

local_down() {
  local_remove "$CLUSTER_INDEX"
  local_down_leftovers
  say "The cluster is gone; its logs stay in $LOGS."
}

# Clusters of this checkout that a crash left behind, and of checkouts that are gone.
local_down_leftovers() {
  local claim owner
  for claim in "$CLUSTERS_RUN"/*/; do
    [[ -d $claim ]] || continue
    owner=$(cat "${claim}owner" 2>/dev/null) || continue
    if [[ $owner == "$ROOT" || ! -d $owner ]]; then
      say "Removing what is left of a cluster of $owner"
      local_remove "$(basename "$claim")"
    fi
  done
  rm -f "$ENV_FILE" "$OUT/kubeconfig"
}

local_remove() { # index
  local_use "$1"
  cgroup_kill "$CLUSTER_NAME"
  network_remove
  cgroup_remove "$CLUSTER_NAME"
  local mounted
  awk -v a="$RUN/" -v b="$STATE/" 'index($5, a) == 1 || index($5, b) == 1 {print $5}' /proc/self/mountinfo | sort -r |
    while read -r mounted; do umount -l "$mounted" || true; done
  rm -rf --one-file-system "${STATE:?}"
  machine_lock
  rm -rf --one-file-system "${RUN:?}"
  # The last one takes the shared folders along, as far as nobody else has put anything there.
  if rmdir "$CLUSTERS_RUN" 2>/dev/null; then
    rmdir --ignore-fail-on-non-empty "$CLUSTERS_STATE" "${NODE_MOUNTS[@]}" 2>/dev/null || true
  fi
  machine_unlock
  rm -f "$ENV_FILE" "$OUT/kubeconfig"
}
