# CLUSTER=existing: the cluster of KUBECONFIG. Nothing in it is made or removed here.
# shellcheck shell=bash

existing_up() {
  command -v kubectl >/dev/null || die "CLUSTER=existing needs kubectl, which is not installed."
  local nodes
  # --flatten, because the copy must work without the files that the original points to.
  (umask 077 && kubectl config view --raw --minify --flatten >"$OUT/kubeconfig") ||
    die "CLUSTER=existing needs a kubeconfig with a current context: set KUBECONFIG."
  nodes=$(BIN='' kc --request-timeout 10s get nodes -o jsonpath='{.items[*].metadata.name}') ||
    die "The cluster of ${KUBECONFIG:-$HOME/.kube/config} does not answer."
  BIN='' write_env CLUSTER_KIND=existing "KUBECONFIG=$OUT/kubeconfig" "NODES=$nodes" BIN= "CONTEXT=$(kubectl config current-context)"
  say "Using the cluster of context $(kubectl config current-context): $(wc -w <<<"$nodes") nodes."
  say "Images of minikube, k3d and kind are loaded by themselves. For any other cluster say how with LOAD_IMAGE, for instance"
  say "  LOAD_IMAGE='skopeo copy docker-archive:\$1 docker://registry.example/tradingbot-operator:0.1.0' make e2e"
  say "with \$1 the archive, or push target/images/*.tar where your nodes find them under the names in manifests/."
}

existing_load() { # image archives
  local archive
  for archive in "$@"; do
    if [[ -n ${LOAD_IMAGE:-} ]]; then bash -euc "$LOAD_IMAGE" load "$archive"; continue; fi
    case $CONTEXT in
      minikube) minikube image load "$archive" ;;
      k3d-*) k3d image import --cluster "${CONTEXT#k3d-}" "$archive" ;;
      kind-*) kind load image-archive --name "${CONTEXT#kind-}" "$archive" ;;
      *) say "Not loaded: $archive. Set LOAD_IMAGE to the command that makes it known to the nodes of $CONTEXT, or push it yourself." ;;
    esac
  done
}

existing_status() { kc get nodes -o wide; }

existing_down() {
  rm -f "$ENV_FILE" "$OUT/kubeconfig"
  say "The cluster of context $CONTEXT was left as it is."
}
