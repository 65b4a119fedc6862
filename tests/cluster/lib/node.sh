# A node: a network namespace, a mount namespace and a cgroup, with its own containerd, kubelet and kube-proxy.
# shellcheck shell=bash

ZONES=(zone-a zone-b zone-c)

# Folders that containerd, CNI and the kubelet use whatever they are told. Each node sees its own there.
# shellcheck disable=SC2034  # used where nodes boot and where the last cluster goes
NODE_MOUNTS=(/var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/containerd)

node_socket() { echo "$RUN/$1/containerd.sock"; }
node_zone() { echo "${ZONES[$(((${1#node} - 1) % ${#ZONES[@]}))]}"; }
node_ctr() { # node, arguments of ctr
  local socket
  socket=$(node_socket "$1")
  shift
  ctr -a "$socket" -n k8s.io "$@"
}

node_prepare() { # node: everything but its processes
  local node=$1 dir=$STATE/$1
  mkdir -p "$dir/cni" "$dir/volumes" "$RUN/$node"
  certificate "$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_address "$node")"
  kubeconfig "$node" "$API_ADDRESS" "$dir/kubelet.conf"
  network_node "$node"
  cgroup_make "$CLUSTER_NAME/$node"

  # restrict_oom_score_adj: in a container, CAP_SYS_RESOURCE may be missing, and sandboxes would not start.
  cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/containerd"
state = "$RUN/$node/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$(node_socket "$node")"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "$PAUSE_IMAGE"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$(snapshotter)"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
TOML

  # Point-to-point instead of a bridge: all traffic of a pod passes the node's forward hook, also to a pod of the same
  # node, so Services work without br_netfilter.
  cat >"$dir/cni/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {
  "type": "host-local", "ranges": [[{"subnet": "$POD_NET.${node#node}.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON

  # Containers that tests kill again and again are started again at once, not after minutes.
  # Disk figures are meaningless where / is an overlay, so eviction by disk is off.
  cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER_NAME/$node
clusterDNS: [$SERVICE_NET.10]
clusterDomain: cluster.local
crashLoopBackOff: {maxContainerRestartPeriod: 2s}
containerRuntimeEndpoint: unix://$(node_socket "$node")
enforceNodeAllocatable: []
evictionHard: {"nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%", "memory.available": "1Mi"}
failCgroupV1: false
failSwapOn: false
featureGates: {KubeletCrashLoopBackOffMax: true}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
serializeImagePulls: false
tlsCertFile: $STATE/pki/$node.crt
tlsPrivateKeyFile: $STATE/pki/$node.key
YAML
}

# overlayfs cannot be the upper layer of an overlay, as in a container; copying works everywhere.
snapshotter() {
  local dir=$STATE/probe
  mkdir -p "$dir"/{lower,upper,work,merged}
  if unshare -m mount -t overlay overlay -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" "$dir/merged" 2>/dev/null; then
    echo overlayfs
  else
    echo native
  fi
  rm -rf "$dir"
}

# Starts the processes of a node; returns when containerd answers. The kubelet waits for the API server by itself.
node_start() { # node
  local node=$1
  rm -rf "${RUN:?}/$node/containerd"
  nsenter --net="/run/netns/$(netns "$node")" unshare -m --propagation private "$HERE/lib/boot-node" "$node"
}

# In the node's own namespaces.
spawn_kubelet() { # node
  local node=$1 dir=$STATE/$1
  spawn "$CLUSTER_NAME/$node" "kubelet-$node" "$BIN/kubelet" --config "$dir/kubelet.yaml" --kubeconfig "$dir/kubelet.conf" \
    --hostname-override "$node" --node-ip "$(node_address "$node")" \
    --node-labels "topology.kubernetes.io/zone=$(node_zone "$node"),topology.kubernetes.io/region=test"
}

# A kubelet alone, in the namespaces that the node's containerd lives in.
node_start_kubelet() { # node
  local containerd
  containerd=$(recorded_pid "containerd-$1") || die "The node $1 has no power: use power-on."
  nsenter --target "$containerd" --net --mount "$HERE/lib/boot-kubelet" "$1"
}

# As a power cut: the link goes first, so that nobody hears the dying processes, then all of it at one moment.
node_kill() { # node
  local node=$1
  in_netns control ip link set "$node" down
  cgroup_kill "$CLUSTER_NAME/$node"
  # A machine without power has no kernel that goes on sending for dead processes.
  # shellcheck disable=SC2016  # expanded in there
  in_netns "$node" sh -c 'ip -o link show type veth | sed "s/^[0-9]*: \([^:@]*\).*/\1/" | grep -vx eth0 |
    while read -r link; do ip link del "$link" 2>/dev/null; done
    # Nor one that keeps packets until it knows the address of a neighbour.
    ip neigh flush nud all 2>/dev/null; true'
  rm -rf "${RUN:?}/$node/containerd" "$(node_socket "$node")"
}

node_running() { recorded_pid "kubelet-$1" >/dev/null && recorded_pid "containerd-$1" >/dev/null; }
