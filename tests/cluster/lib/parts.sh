# What the local cluster is made of: Debian packages, and Kubernetes and etcd as Go modules, built once into a cache.
# shellcheck shell=bash

PARTS=(etcd=go.etcd.io/etcd/server/v3)
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
  PARTS+=("$name=k8s.io/kubernetes/cmd/$name")
done

# A change of versions is a change of folder: an old build stays for checkouts that still want it.
parts_key() { cat "$HERE/controlplane/go.mod" "$HERE/controlplane/go.sum" | sha256sum | cut -c1-12; }
parts_bin() { echo "$CACHE/parts-$(parts_key)"; }

packages_ensure() {
  # command or file, and the Debian package it is in
  local need missing=() pairs=(
    containerd=containerd ctr=containerd runc=runc /usr/lib/cni/ptp=containernetworking-plugins nft=nftables ip=iproute2
    openssl=openssl curl=curl jq=jq nsenter=util-linux flock=util-linux find=findutils awk=mawk cc=gcc
    /usr/include/stdlib.h=libc6-dev
  )
  for need in "${pairs[@]}"; do
    if [[ $need == /* ]]; then [[ -e ${need%%=*} ]] || missing+=("${need#*=}")
    else command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}"); fi
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  command -v apt-get >/dev/null ||
    die "The local cluster needs ${missing[*]} (names of Debian packages), and apt-get is not here to install them."
  say "Installing ${missing[*]}"
  # A package's service must not start: each node runs its own containerd.
  local log=$OUT/apt.log
  mkdir -p "$OUT"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qy --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 8>&- || die "apt-get could not install ${missing[*]}: $(tail -1 "$log") (all of it: $log)"
}

parts_ensure() {
  local bin partial pair part began version log=$CACHE/build.log
  packages_ensure
  bin=$(parts_bin)
  pause_ensure
  [[ ! -d $bin ]] || return 0
  command -v go >/dev/null || die "The local cluster is built from Go modules: install Go 1.21 or later (go.dev) first."
  mkdir -p "$CACHE"
  exec 7>"$CACHE/lock"
  flock -n 7 || { say "Waiting for another build of the cluster's parts"; flock 7; }
  [[ ! -d $bin ]] || return 0

  say "Building the cluster's parts once into $bin (about 8 minutes on 2 cores):"
  partial=$bin.partial
  version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ {print $2; exit}' "$HERE/controlplane/go.mod")
  rm -rf "$partial"
  mkdir -p "$partial"
  : >"$log"
  for pair in "${PARTS[@]}"; do
    part=${pair%%=*}
    began=$EPOCHREALTIME
    printf '  %-26s' "$part" >&2
    # Without its version a server calls itself v0.0.0, and charts that ask for a release refuse it.
    (cd "$HERE/controlplane" && GOFLAGS='' CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath \
      -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$partial/$part" "${pair#*=}") >>"$log" 2>&1 7>&- 8>&- &
    progress $! "$began" || die "Building $part failed: $(tail -1 "$log") (all of it: $log)"
  done
  mv "$partial" "$bin"
  # A fixed name for people and tests.
  [[ -e $CACHE/bin && ! -L $CACHE/bin ]] || ln -sfn "$bin" "$CACHE/bin"
  exec 7>&-
}

progress() { # pid, start: shows seconds while the process runs, on a terminal live
  while [[ -t 2 ]] && kill -0 "$1" 2>/dev/null; do
    printf '%8s s\b\b\b\b\b\b\b\b\b\b' "$(elapsed "$2")" >&2
    sleep 1
  done
  local status=0
  wait "$1" || status=$?
  printf '%8s s\n' "$(elapsed "$2")" >&2
  return $status
}

# The image of the container that holds a pod's namespaces; it is in no registry that this cluster reaches.
pause_ensure() {
  local key
  key=$(cat "$HERE/pause.c" "$HERE/image" | sha256sum | cut -c1-12)
  [[ ! -f $CACHE/pause.tar || $(cat "$CACHE/pause.key" 2>/dev/null) != "$key" ]] || return 0
  mkdir -p "$CACHE"
  cc -static -Os -s -o "$CACHE/pause" "$HERE/pause.c" || die "The pause program could not be compiled: is libc6-dev installed?"
  "$HERE/image" --name "$PAUSE_IMAGE" --output "$CACHE/pause.tar" --entrypoint /pause "pause=$CACHE/pause"
  echo "$key" >"$CACHE/pause.key"
}
