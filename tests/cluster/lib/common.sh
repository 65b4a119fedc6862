# Words and helpers that every part of the cluster scripts uses. Sourced, never run.
# shellcheck shell=bash disable=SC2034  # names set here are used by the files sourced after

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
CACHE=${TRADINGBOT_CACHE:-$HOME/.cache/tradingbot-operator}
OUT=$ROOT/target/cluster          # what users and tests read: kubeconfig, env, logs
ENV_FILE=$OUT/env
LOGS=$OUT/logs
AUDIT_LOG=$OUT/audit.log          # what service accounts asked of the local cluster's API server
PAUSE_IMAGE=tradingbot.local/pause:1
STARTED=$EPOCHREALTIME

say() { printf '%s\n' "$*" >&2; }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

elapsed() { # seconds since $1 (an EPOCHREALTIME; default: since this script started), with one decimal
  local now=${EPOCHREALTIME/[.,]/} then=${1:-$STARTED} tenths
  tenths=$(((now - ${then/[.,]/}) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

wait_until() { # seconds, what is waited for (for the message), command…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { say "cluster: gave up waiting for $what."; return 1; }
    sleep 0.1
  done
}

# One up or down at a time in a checkout. Daemons must not inherit the lock: `spawn` closes it.
own_checkout_lock() {
  { mkdir -p "$OUT" && touch "$OUT/lock"; } 2>/dev/null || die "$OUT cannot be written: run as the user who made it (the local cluster needs root)."
  exec 8>"$OUT/lock"
  flock -w 300 8 || die "Another 'up' or 'down' of this checkout has been running for five minutes; wait for it or end it."
}

# Reads target/cluster/env into this shell; false when there is none.
load_env() {
  [[ -f $ENV_FILE ]] || return 1
  # shellcheck source=/dev/null
  source "$ENV_FILE"
}

write_env() { # NAME=value…: lines that a shell can source
  local pair tmp=$ENV_FILE.new
  {
    echo "# The test cluster of this checkout; source it. Written by tests/cluster/cluster."
    for pair in "$@"; do printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"; done
    # A proxy for the outside world must not get requests for the cluster.
    # shellcheck disable=SC2016
    echo 'export NO_PROXY="127.0.0.1,localhost,198.18.0.0/15,10.0.0.0/8${NO_PROXY:+,$NO_PROXY}" && export no_proxy="$NO_PROXY"'
    # shellcheck disable=SC2016
    [[ -z ${BIN:-} ]] || echo 'export PATH="$BIN:$PATH"'
  } >"$tmp"
  mv "$tmp" "$ENV_FILE"
}

# Kubernetes clients that ask nobody else's configuration.
kc() { "${BIN:+$BIN/}kubectl" --kubeconfig "$OUT/kubeconfig" "$@"; }

# A process is named by its id and its start time, because ids are used again.
start_time() { # pid; nothing when it is gone or a zombie
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  [[ ${stat%% *} != Z ]] || return 1
  awk '{print $20}' <<<"$stat"
}

record_pid() { # name, pid
  mkdir -p "$RUN/pids"
  printf '%s %s\n' "$2" "$(start_time "$2")" >"$RUN/pids/$1"
}

recorded_pid() { # name; prints the pid when that very process still runs
  local pid began
  read -r pid began <"$RUN/pids/$1" 2>/dev/null || return 1
  [[ $(start_time "$pid") == "$began" ]] || return 1
  echo "$pid"
}

# Starts a daemon: own session, own cgroup, clean environment (no proxies, no credentials), log in target/cluster/logs.
spawn() { # cgroup, name, command…
  local group=$1 name=$2
  shift 2
  mkdir -p "$LOGS"
  (
    trap - EXIT INT TERM
    cgroup_enter "$group"
    exec 8>&- 9>&-
    exec setsid env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" \
      </dev/null >>"$LOGS/$name.log" 2>&1
  ) &
  record_pid "$name" $!
  disown $! # or this shell would tell of its end
}
