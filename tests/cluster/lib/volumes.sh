# Storage: a default StorageClass with volumes made beforehand, as of a machine's own disks.
# shellcheck shell=bash

VOLUMES_PER_NODE=8

volumes_up() { # nodes…
  local node number
  for node in "$@"; do
    for ((number = 1; number <= VOLUMES_PER_NODE; number++)); do
      # Any user may write: pods without fsGroup would otherwise need root.
      mkdir -p "$STATE/$node/volumes/$number"
      chmod 0777 "$STATE/$node/volumes/$number"
    done
  done
  volumes_manifest "$@" | kc apply -f - >/dev/null
  spawn "$CLUSTER_NAME/control" volumes "$HERE/lib/recycle-volumes" "$BIN/kubectl" "$OUT/kubeconfig" "$STATE"
}

volumes_manifest() { # nodes…
  local node number
  cat <<YAML
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
YAML
  for node in "$@"; do
    for ((number = 1; number <= VOLUMES_PER_NODE; number++)); do
      cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $node-$number}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: standard
  local: {path: $STATE/$node/volumes/$number}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]}]}
YAML
    done
  done
}
