# The control plane: etcd, API server, controller manager and scheduler, in the control namespace.
# shellcheck shell=bash

control_start() { # name, command…
  local name=$1
  shift
  spawn "$CLUSTER_NAME/control" "$name" nsenter --net="/run/netns/$(netns control)" "$@"
}

start_etcd() {
  # fsync protects from a power cut of the machine, which ends the test anyway.
  control_start etcd "$BIN/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380
}

start_apiserver() {
  # Kubelets are reached by address: their names are in no DNS. Webhooks are reached at the pods' addresses
  # (aggregator routing), because no kube-proxy serves the control namespace.
  control_start apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --secure-port=6443 --advertise-address="$API_ADDRESS" \
    --tls-cert-file="$STATE/pki/apiserver.crt" --tls-private-key-file="$STATE/pki/apiserver.key" \
    --client-ca-file="$STATE/pki/ca.crt" \
    --service-account-key-file="$STATE/pki/accounts.pub" --service-account-signing-key-file="$STATE/pki/accounts.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range="$SERVICE_NET.0/16" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --kubelet-certificate-authority="$STATE/pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$STATE/pki/admin.crt" --kubelet-client-key="$STATE/pki/admin.key" \
    --enable-aggregator-routing=true \
    --audit-policy-file="$STATE/audit-policy.yaml" --audit-log-path="$AUDIT_LOG" \
    --audit-log-maxsize=100000 --audit-log-maxbackup=0 --audit-log-maxage=0
}

# Who did what, without the objects: of all service accounts but Kubernetes' own. Kubelets and people are no service
# accounts. A restarted API server goes on in the same file, which is written before each answer, and never rotated; that
# it started is told by its own question for what everybody may do, until whose answer it refuses everybody.
audit_policy() {
  cat <<YAML
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- level: Metadata
  users: ["system:apiserver"]
  verbs: [list]
  resources: [{group: rbac.authorization.k8s.io, resources: [rolebindings]}]
- {level: None}
YAML
}

start_controllers() {
  control_start controller-manager "$BIN/kube-controller-manager" --kubeconfig="$STATE/controller-manager.conf" \
    --service-account-private-key-file="$STATE/pki/accounts.key" --root-ca-file="$STATE/pki/ca.crt" \
    --cluster-signing-cert-file="$STATE/pki/ca.crt" --cluster-signing-key-file="$STATE/pki/ca.key" \
    --use-service-account-credentials --leader-elect=false
  control_start scheduler "$BIN/kube-scheduler" --kubeconfig="$STATE/scheduler.conf" --leader-elect=false
}

# Asked with the admin's certificate, over the link that tests use.
apiserver_ready() {
  curl -sf --noproxy '*' --max-time 2 --cacert "$STATE/pki/ca.crt" --cert "$STATE/pki/admin.crt" --key "$STATE/pki/admin.key" \
    "https://$(outside_address 2):6443/readyz" >/dev/null
}

control_up() {
  pki_authority
  certificate apiserver /CN=kube-apiserver \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$SERVICE_NET.1,IP:$API_ADDRESS,IP:$(outside_address 2)"
  certificate admin /O=system:masters/CN=admin
  cgroup_make "$CLUSTER_NAME/control"
  cgroup_weigh "$CLUSTER_NAME"
  network_control
  start_etcd
  rm -f "$AUDIT_LOG" # of an earlier cluster
  audit_policy >"$STATE/audit-policy.yaml"
  start_apiserver
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate kube-proxy /CN=system:kube-proxy
  kubeconfig controller-manager "$API_ADDRESS" "$STATE/controller-manager.conf"
  kubeconfig scheduler "$API_ADDRESS" "$STATE/scheduler.conf"
  kubeconfig kube-proxy "$API_ADDRESS" "$STATE/kube-proxy.conf"
  kubeconfig admin "$(outside_address 2)" "$OUT/kubeconfig"
}
