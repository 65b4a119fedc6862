# Keys, certificates and kubeconfigs. Elliptic curves, because a cluster needs a dozen keys within a second.
# shellcheck shell=bash

pki_authority() {
  mkdir -p "$STATE/pki"
  chmod 700 "$STATE/pki"
  openssl ecparam -name prime256v1 -genkey -noout -out "$STATE/pki/accounts.key"
  openssl ec -in "$STATE/pki/accounts.key" -pubout -out "$STATE/pki/accounts.pub" 2>/dev/null
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=tradingbot-test-cluster \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
    -keyout "$STATE/pki/ca.key" -out "$STATE/pki/ca.crt" 2>/dev/null
}

# Extensions are always given: without them openssl writes a version 1 certificate, and rustls refuses those.
certificate() { # name, subject, [subjectAltName]
  local base=$STATE/pki/$1
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" -keyout "$base.key" -out "$base.csr" 2>/dev/null
  openssl x509 -req -in "$base.csr" -CA "$STATE/pki/ca.crt" -CAkey "$STATE/pki/ca.key" -set_serial "0x$(openssl rand -hex 12)" \
    -days 365 -out "$base.crt" -extfile <(
      echo "keyUsage=critical,digitalSignature"
      echo "extendedKeyUsage=clientAuth,serverAuth"
      [[ -z ${3:-} ]] || echo "subjectAltName=$3"
    ) 2>/dev/null
}

kubeconfig() { # name of the certificate, address of the API server, file
  cat >"$3" <<YAML
apiVersion: v1
kind: Config
current-context: $CLUSTER_NAME
clusters:
- name: $CLUSTER_NAME
  cluster:
    server: https://$2:6443
    certificate-authority-data: $(base64 -w0 "$STATE/pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$STATE/pki/$1.crt")
    client-key-data: $(base64 -w0 "$STATE/pki/$1.key")
contexts:
- name: $CLUSTER_NAME
  context: {cluster: $CLUSTER_NAME, user: $1}
YAML
  chmod 600 "$3"
}
