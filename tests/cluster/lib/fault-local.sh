# Faults of the local cluster.
# shellcheck shell=bash

FAULT_TABLE=tradingbot_fault
PORT_TABLE=tradingbot_port_

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

open_all_ports() { # node
  local table
  for table in $(in_netns "$1" nft list tables inet | awk -v prefix="$PORT_TABLE" 'index($3, prefix) == 1 {print $3}'); do
    in_netns "$1" nft delete table inet "$table"
  done
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

fault_local_heal() {
  local node folder
  fault_local_start_apiserver
  for node in $NODES; do
    fault_local_heal_api "$node"
    open_all_ports "$node"
    fault_local_power_on "$node"
  done
  while read -r folder; do
    ! cgroup_frozen "$folder" || cgroup_thaw "$folder"
  done < <(find "$(cgroup_freezer "$CLUSTER_NAME")" -type d -name 'pod*')
}
