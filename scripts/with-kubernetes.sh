#!/usr/bin/env bash
# Runs a command with KUBECONFIG leading to a real Kubernetes API server, and stops the server after:
#   bash scripts/with-kubernetes.sh cargo test -p spanwise-orchestrator
# Needs Go 1.26, openssl and etcd (Debian: etcd-server; or ETCD=path). The first run builds
# kube-apiserver from the Go module proxy into target/tools/kubernetes: about 6 CPU minutes, 2.5 GB of
# memory; later runs are ready in seconds. No kubelet, no controllers: what is written stays as written.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.36.2
tools=$PWD/target/tools/kubernetes
server=$tools/kube-apiserver-$version
etcd=${ETCD:-$(command -v etcd || true)}
if [ "$#" -eq 0 ]; then
  echo "with-kubernetes: name the command to run" >&2
  exit 2
fi
for need in go openssl; do
  command -v "$need" >/dev/null || { echo "with-kubernetes: $need is not installed" >&2; exit 69; }
done
if [ -z "$etcd" ]; then
  echo "with-kubernetes: etcd is not installed: apt-get install etcd-server, or set ETCD" >&2
  exit 69
fi

# The module cannot be installed by name: its go.mod points to ./staging, which is published apart.
build() {
  local source
  source=$(mktemp -d)
  (
    cd "$source"
    local module
    module=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
    printf 'module example.com/kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$version" >go.mod
    sed -n "s|^\t\(k8s.io/[a-z0-9-]*\) => ./staging/.*|\t\1 => \1 v0.${version#1.}|p" "$module" >>go.mod
    printf ')\n' >>go.mod
    CGO_ENABLED=0 go build -mod=mod -trimpath \
      -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version" \
      -o "$server.new" k8s.io/kubernetes/cmd/kube-apiserver 2>"$tools/build.log"
  )
  rm -rf "$source"
  mv "$server.new" "$server"
}

mkdir -p "$tools"
if ! [ -x "$server" ]; then
  echo "with-kubernetes: building kube-apiserver $version" >&2
  build
fi

run=$(mktemp -d)
pids=()
finish() {
  local status=$?
  trap - EXIT
  [ "${#pids[@]}" -eq 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true
  { wait; } 2>/dev/null
  rm -rf "$run"
  exit "$status"
}
trap finish EXIT

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

client=$(free_port) peer=$(free_port) secure=$(free_port)
"$etcd" --data-dir "$run/etcd" --listen-client-urls "http://127.0.0.1:$client" \
  --advertise-client-urls "http://127.0.0.1:$client" --listen-peer-urls "http://127.0.0.1:$peer" \
  --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer" \
  >"$run/etcd.log" 2>&1 &
pids+=($!)

openssl genrsa -out "$run/accounts.key" 2048 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$run/tokens.csv"
"$server" --etcd-servers "http://127.0.0.1:$client" --secure-port "$secure" --bind-address 127.0.0.1 \
  --cert-dir "$run/certificates" --token-auth-file "$run/tokens.csv" --authorization-mode RBAC \
  --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file "$run/accounts.key" --service-account-signing-key-file "$run/accounts.key" \
  --disable-admission-plugins ServiceAccount --service-cluster-ip-range 10.0.0.0/24 \
  >"$run/server.log" 2>&1 &
pids+=($!)

cat >"$run/kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
- {name: test, cluster: {server: "https://127.0.0.1:$secure", certificate-authority: "$run/certificates/apiserver.crt"}}
users:
- {name: admin, user: {token: "$token"}}
contexts:
- {name: test, context: {cluster: test, user: admin}}
current-context: test
END

is_ready() {
  curl -fsk -H "Authorization: Bearer $token" "https://127.0.0.1:$secure/readyz" >/dev/null 2>&1
}
for _ in $(seq 300); do
  if is_ready; then break; fi
  if ! kill -0 "${pids[@]}" 2>/dev/null; then break; fi
  sleep 0.2
done
if ! is_ready; then
  echo "with-kubernetes: the server did not become ready; the ends of its logs:" >&2
  tail -n 20 "$run/etcd.log" "$run/server.log" >&2
  exit 1
fi
KUBECONFIG="$run/kubeconfig" "$@"
