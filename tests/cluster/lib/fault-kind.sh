# Faults of a kind cluster: its nodes are containers of the Docker daemon.
# shellcheck shell=bash disable=SC2016  # what is quoted is expanded in the node

kind_control() { echo "$KIND_NAME-control-plane"; }
kind_address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }

# A rule is taken out before it is put in, so that a repeated fault is one fault.
kind_drop() { # insert or remove, node, what to match at PREROUTING, what at POSTROUTING
  local script="
    while iptables -t raw -D PREROUTING $3 -j DROP 2>/dev/null; do :; done
    while iptables -t mangle -D POSTROUTING $4 -j DROP 2>/dev/null; do :; done"
  [[ $1 == remove ]] || script+="
    iptables -t raw -I PREROUTING $3 -j DROP
    iptables -t mangle -I POSTROUTING $4 -j DROP"
  docker exec "$2" sh -c "$script"
}

fault_kind_cut_api() { local api; api=$(kind_address "$(kind_control)"); kind_drop insert "$1" "-s $api" "-d $api"; }
fault_kind_heal_api() { local api; api=$(kind_address "$(kind_control)"); kind_drop remove "$1" "-s $api" "-d $api"; }
fault_kind_cut_link() { kind_drop insert "$1" "-i eth0" "-o eth0"; }
fault_kind_heal_link() { kind_drop remove "$1" "-i eth0" "-o eth0"; }
fault_kind_close_port() { kind_drop insert "$1" "-p tcp --dport $2" "-p tcp --dport $2"; }
fault_kind_open_port() { kind_drop remove "$1" "-p tcp --dport $2" "-p tcp --dport $2"; }
fault_kind_power_off() { docker kill "$1" >/dev/null 2>&1 || [[ $(docker inspect -f '{{.State.Running}}' "$1") == false ]]; }
fault_kind_power_on() { docker start "$1" >/dev/null; }

kind_freezer() { # pod uid, 1 or 0
  local node
  for node in $NODES; do
    # The pod's cgroup is pod<uid> or, with systemd's names, …pod<uid with underscores>.slice.
    docker exec "$node" sh -c "
      found=\$(find /sys/fs/cgroup -type d \( -name 'pod$1' -o -name '*pod${1//-/_}.slice' \) | head -1)
      [ -n \"\$found\" ] && echo $2 >\"\$found/cgroup.freeze\"" && return 0
  done
  return 1
}

fault_kind_freeze() { kind_freezer "$1" 1 || die "No pod with uid $1 runs on this cluster."; }
fault_kind_thaw() { kind_freezer "$1" 0 || true; }

fault_kind_kill_container() { # node, container id, signal
  docker exec "$1" sh -c "kill -${3#SIG} \$(crictl inspect -o go-template --template '{{.info.pid}}' $2)" ||
    die "No container $2 runs on $1."
}

kind_apiserver() { docker exec "$(kind_control)" sh -c "$1"; }
fault_kind_pause_apiserver() { kind_apiserver 'kill -STOP $(pidof kube-apiserver)'; }
fault_kind_resume_apiserver() { kind_apiserver 'kill -CONT $(pidof kube-apiserver)'; }
# The control plane's kubelet runs what is in the folder of manifests.
fault_kind_stop_apiserver() { kind_apiserver 'cd /etc/kubernetes; [ ! -f manifests/kube-apiserver.yaml ] || mv manifests/kube-apiserver.yaml .; kill -KILL $(pidof kube-apiserver) 2>/dev/null; true'; }

fault_kind_start_apiserver() {
  kind_apiserver 'cd /etc/kubernetes; [ ! -f kube-apiserver.yaml ] || mv kube-apiserver.yaml manifests/; kill -CONT $(pidof kube-apiserver) 2>/dev/null; true'
  wait_until 120 "the API server" kc --request-timeout 2s get --raw /readyz
}

fault_kind_heal() {
  local node
  fault_kind_start_apiserver
  for node in $NODES; do
    fault_kind_power_on "$node"
    fault_kind_heal_api "$node"
    fault_kind_heal_link "$node"
    docker exec "$node" sh -c 'find /sys/fs/cgroup -type d -name "*pod*" -exec sh -c "echo 0 >\"\$1/cgroup.freeze\"" x {} \; 2>/dev/null; true'
  done
}
