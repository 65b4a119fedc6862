# The cluster's networks. All of it is in network namespaces of its own, so that two clusters on one machine, or the
# machine's own networks, never meet: the same addresses are used in each cluster. Only one link leads out of it, from
# the machine to the API server.
#
#   machine ── 198.18.N.0/30 ── control namespace: API server 10.90.0.1, bridge ──┬── node1 10.90.0.11, pods 10.244.1.0/24
#                                                                                 └── node2 10.90.0.12, pods 10.244.2.0/24 …
# shellcheck shell=bash

NODE_NET=10.90.0
POD_NET=10.244
# shellcheck disable=SC2034  # for the flags of the control plane
SERVICE_NET=10.96.0
API_ADDRESS=$NODE_NET.1

netns() { echo "$CLUSTER_NAME-$1"; } # namespace of "control" or a node
node_address() { echo "$NODE_NET.1${1#node}"; }
outside_address() { echo "198.18.$CLUSTER_INDEX.$1"; } # 1 is the machine's end, 2 the API server's

# Not "ip netns exec": it remounts /sys, and cgroups are then gone from sight.
in_netns() { # control or node, command…
  local where
  where=$(netns "$1")
  shift
  nsenter --net="/run/netns/$where" "$@"
}

network_control() {
  local link=$CLUSTER_NAME space
  space=$(netns control)
  ip netns add "$space"
  ip link add "$link" type veth peer name outside netns "$space"
  ip addr add "$(outside_address 1)/30" dev "$link"
  ip link set "$link" up
  # The world is out of reach on purpose, and says so at once: "prohibit" fails a datagram too, "unreachable" would not.
  in_netns control sh -eu -c "
    ip link set lo up
    ip addr add $(outside_address 2)/30 dev outside
    ip link set outside up
    ip link add nodes type bridge
    ip addr add $API_ADDRESS/24 dev nodes
    ip link set nodes up
    echo 1 > /proc/sys/net/ipv4/ip_forward
    ip route add prohibit default
    f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e \$f ] || echo 0 > \$f"
}

network_node() { # node
  local node=$1 space
  space=$(netns "$node")
  ip netns add "$space"
  in_netns control ip link add "$node" type veth peer name eth0 netns "$space"
  in_netns control sh -eu -c "
    ip link set $node master nodes
    ip link set $node up
    ip route replace $POD_NET.${node#node}.0/24 via $(node_address "$node")"
  in_netns "$node" sh -eu -c "
    ip link set lo up
    ip addr add $(node_address "$node")/24 dev eth0
    ip link set eth0 up
    ip route add default via $API_ADDRESS
    echo 1 > /proc/sys/net/ipv4/ip_forward"
}

# Pods of different nodes reach each other over routes from node to node, past the control namespace.
network_routes() { # nodes…
  local node other
  for node in "$@"; do
    for other in "$@"; do
      [[ $node == "$other" ]] ||
        in_netns "$node" ip route replace "$POD_NET.${other#node}.0/24" via "$(node_address "$other")"
    done
  done
}

network_remove() {
  local space pids
  for space in $(ip netns list | awk -v prefix="$CLUSTER_NAME-" 'index($1, prefix) == 1 {print $1}'); do
    # What entered a namespace from outside (a debugging shell) goes with it.
    pids=$(ip netns pids "$space" 2>/dev/null) || pids=
    # shellcheck disable=SC2086
    [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
    # Links first: a socket that still sends would otherwise keep the namespace, and its links, for minutes.
    # shellcheck disable=SC2016  # expanded in there
    nsenter --net="/run/netns/$space" sh -c '
      ip -o link show | sed "s/^[0-9]*: \([^:@]*\).*/\1/" | while read -r link; do ip link del "$link" 2>/dev/null; done; true'
    ip netns del "$space"
  done
  ip link del "$CLUSTER_NAME" 2>/dev/null || true
}
