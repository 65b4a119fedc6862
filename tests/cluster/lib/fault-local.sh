# Faults of the local cluster.
# shellcheck shell=bash

FAULT_TABLE=tradingbot_fault
PORT_TABLE=tradingbot_port_
IN_TABLE=tradingbot_in
OUT_TABLE=tradingbot_out
ADDRESS_TABLE=tradingbot_address_
DIVERT_TABLE=tradingbot_divert

# At the outer edges of the node's netfilter, where packets are as on the wire: after the Services' address translation on
# the way out, before it on the way in. So connections through 10.96.0.1 are cut as well, established ones too.
fault_local_cut_api() { # node
  in_netns "$1" nft -f - <<NFT
table inet $FAULT_TABLE {}
delete table inet $FAULT_TABLE
table inet $FAULT_TABLE {
  chain in { type filter hook prerouting priority -300; ip saddr $API_ADDRESS drop; }
  chain out { type filter hook postrouting priority 300; ip daddr $API_ADDRESS drop; }
}
NFT
}

fault_local_heal_api() { # node
  in_netns "$1" nft -f - <<NFT
table inet $FAULT_TABLE {}
delete table inet $FAULT_TABLE
NFT
}

# Where a plugin's policies would act: on the way to a pod, from other nodes and from this one. A table for each port.
fault_local_close_port() { # node, port
  in_netns "$1" nft -f - <<NFT
table inet $PORT_TABLE$2 {}
delete table inet $PORT_TABLE$2
table inet $PORT_TABLE$2 {
  chain in { type filter hook prerouting priority -300; tcp dport $2 drop; }
}
NFT
}

fault_local_open_port() { # node, port
  in_netns "$1" nft -f - <<NFT
table inet $PORT_TABLE$2 {}
delete table inet $PORT_TABLE$2
NFT
}

# Everything of ours in a node's netfilter.
open_all() { # node
  local table
  for table in $(in_netns "$1" nft list tables inet | awk 'index($3, "tradingbot_") == 1 {print $3}'); do
    in_netns "$1" nft delete table inet "$table"
  done
}

# One way only: what goes the other way arrives, and the answer to it does not.
fault_local_cut_in() { # node
  in_netns "$1" nft -f - <<NFT
table inet $IN_TABLE {}
delete table inet $IN_TABLE
table inet $IN_TABLE {
  chain in { type filter hook prerouting priority -300; iifname eth0 drop; }
}
NFT
}

fault_local_heal_in() { drop_table "$1" "$IN_TABLE"; }

fault_local_cut_out() { # node
  in_netns "$1" nft -f - <<NFT
table inet $OUT_TABLE {}
delete table inet $OUT_TABLE
table inet $OUT_TABLE {
  chain out { type filter hook postrouting priority 300; oifname eth0 drop; }
}
NFT
}

fault_local_heal_out() { drop_table "$1" "$OUT_TABLE"; }

fault_local_cut_address() { # node, address
  local table=$ADDRESS_TABLE${2//./_}
  in_netns "$1" nft -f - <<NFT
table inet $table {}
delete table inet $table
table inet $table {
  chain in { type filter hook prerouting priority -300; ip saddr $2 drop; }
  chain out { type filter hook postrouting priority 300; ip daddr $2 drop; }
}
NFT
}

fault_local_heal_address() { drop_table "$1" "$ADDRESS_TABLE${2//./_}"; }

drop_table() { # control or node, table
  in_netns "$1" nft -f - <<NFT
table inet $2 {}
delete table inet $2
NFT
}

# The other end of the node's cable goes down: the node loses its carrier and keeps its addresses and routes.
fault_local_cut_link() { in_netns control ip link set "$1" down; }
fault_local_heal_link() { in_netns control ip link set "$1" up; }

fault_local_power_off() { node_kill "$1"; }

fault_local_power_on() { # node
  if ! node_running "$1"; then
    node_kill "$1" # what a half-dead node still has
    node_start "$1"
  fi
  fault_local_heal_link "$1"
}

fault_local_stop_kubelet() { # node
  local pid
  pid=$(recorded_pid "kubelet-$1") || return 0
  kill -KILL "$pid"
  wait_until 10 "the kubelet of $1 to end" kubelet_gone "$1"
}

kubelet_gone() { ! recorded_pid "kubelet-$1"; }

fault_local_start_kubelet() { # node
  recorded_pid "kubelet-$1" >/dev/null || node_start_kubelet "$1"
}

pod_freezers() { # pod uid; the folders that freeze it, one or none
  find "$(cgroup_freezer "$CLUSTER_NAME")" -type d -name "pod$1" -prune 2>/dev/null
}

fault_local_freeze() { # pod uid
  local folder
  folder=$(pod_freezers "$1")
  [[ -n $folder ]] || die "No pod with uid $1 runs on this cluster."
  cgroup_freeze "$folder"
  wait_until 5 "the pod $1 to freeze" cgroup_frozen "$folder"
}

fault_local_thaw() { # pod uid; a pod that is gone needs no thaw
  local folder
  folder=$(pod_freezers "$1")
  [[ -z $folder ]] || cgroup_thaw "$folder"
}

fault_local_kill_container() { # node, container id, signal
  local pid
  pid=$(node_ctr "$1" task ls | awk -v id="$2" '$1 == id && $3 != "STOPPED" {print $2}')
  [[ -n $pid ]] || die "No container $2 runs on $1."
  kill -s "${3#SIG}" "$pid"
}

fault_local_pause_apiserver() { kill -STOP "$(the_apiserver)"; }
fault_local_resume_apiserver() { kill -CONT "$(the_apiserver)"; }

the_apiserver() { recorded_pid apiserver || die "The API server does not run: use start-apiserver."; }

fault_local_stop_apiserver() {
  local pid
  pid=$(recorded_pid apiserver) || return 0
  kill -KILL "$pid"
  wait_until 10 "the API server to end" apiserver_gone
}

apiserver_gone() { ! recorded_pid apiserver; }

fault_local_start_apiserver() {
  if recorded_pid apiserver >/dev/null; then fault_local_resume_apiserver; else start_apiserver; fi
  wait_until 60 "the API server (see $LOGS/apiserver.log)" apiserver_ready
}

fault_local_pause_etcd() { kill -STOP "$(the_etcd)"; }
fault_local_resume_etcd() { kill -CONT "$(the_etcd)"; }

the_etcd() { recorded_pid etcd || die "etcd does not run: use restore-etcd, or bring the cluster up again."; }

# It stands still meanwhile, so the copy is as a power cut would leave it.
fault_local_save_etcd() {
  local pid
  pid=$(the_etcd)
  rm -rf --one-file-system "${STATE:?}/etcd-saved"
  kill -STOP "$pid"
  cp -a "$STATE/etcd" "$STATE/etcd-saved" || { kill -CONT "$pid"; die "The store could not be copied."; }
  kill -CONT "$pid"
}

# As people do it: everything that has read what is lost starts anew, but for the pods.
fault_local_restore_etcd() {
  local name pid node
  [[ -d $STATE/etcd-saved ]] || die "There is no copy of the store: use save-etcd first."
  for name in apiserver controller-manager scheduler etcd; do
    pid=$(recorded_pid "$name") || continue
    kill -KILL "$pid"
    wait_until 10 "$name to end" has_ended "$name"
  done
  rm -rf --one-file-system "${STATE:?}/etcd"
  cp -a "$STATE/etcd-saved" "$STATE/etcd"
  start_etcd
  start_apiserver
  wait_until 60 "the API server (see $LOGS/apiserver.log)" apiserver_ready
  start_controllers
  for node in $NODES; do
    fault_local_stop_kubelet "$node"
    fault_local_start_kubelet "$node"
  done
}

has_ended() { ! recorded_pid "$1"; }

# A connection of before meets nobody who knows it, or a reset, and its owner makes another one. Kubelets and kube-proxies
# have addresses of their own and go on as they were.
fault_local_divert_api() { # port
  in_netns control nft -f - <<NFT
table ip $DIVERT_TABLE {}
delete table ip $DIVERT_TABLE
table ip $DIVERT_TABLE {
  chain there {
    type nat hook prerouting priority dstnat
    ip saddr $POD_NET.0.0/16 ip daddr $API_ADDRESS tcp dport 6443 dnat to $(outside_address 1):$1
  }
  chain back {
    type nat hook postrouting priority srcnat
    ip saddr $POD_NET.0.0/16 ip daddr $(outside_address 1) masquerade
  }
  chain before {
    type filter hook input priority 0
    ip saddr $POD_NET.0.0/16 tcp dport 6443 reject with tcp reset
  }
}
NFT
}

fault_local_undivert_api() {
  in_netns control nft -f - <<NFT
table ip $DIVERT_TABLE {}
delete table ip $DIVERT_TABLE
NFT
}

fault_local_heal() {
  local node folder
  fault_local_undivert_api
  fault_local_resume_etcd
  fault_local_start_apiserver
  for node in $NODES; do
    open_all "$node"
    # A node with power lacks at most its kubelet; without one it would count as half dead.
    ! recorded_pid "containerd-$node" >/dev/null || fault_local_start_kubelet "$node"
    fault_local_power_on "$node"
  done
  while read -r folder; do
    ! cgroup_frozen "$folder" || cgroup_thaw "$folder"
  done < <(find "$(cgroup_freezer "$CLUSTER_NAME")" -type d -name 'pod*')
}
