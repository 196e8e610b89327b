#!/bin/bash
# up.sh: starts a one-machine cluster (hub and agent on this machine, SQLite, local recordings), runs a recorded SSH
# session through it and says how to log in. Everything it keeps is in .up/ (MEZITE_HOME); a second run goes on with it.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/build/bin
home=${MEZITE_HOME:-$PWD/.up}
source scripts/up_lib.sh

mkdir -p "$home"; chmod 700 "$home"
umask 077
secrets="$home/secrets.env"
if [ ! -f "$secrets" ]; then
  printf 'MEZITE_CA_KEY_PASSPHRASE=%s\nMEZITE_AUDIT_HMAC_KEY=%s\nADMIN_PASSWORD=%s\n' \
    "$(openssl rand -base64 24)" "$(openssl rand -hex 32)" "$(openssl rand -base64 15 | tr '+/' 'xy')" >"$secrets.new"
  mv "$secrets.new" "$secrets"
fi
# shellcheck disable=SC1090
source "$secrets"
web=${MEZITE_WEB_PORT:-3080} ssh=${MEZITE_SSH_PORT:-3023} tunnel=${MEZITE_TUNNEL_PORT:-3024} grpc=${MEZITE_GRPC_PORT:-3025}
cat >"$home/mezite.yaml" <<YAML
cluster_name: local
data_dir: $home/hub
auth: {listen_addr: "127.0.0.1:$grpc"}
proxy:
  listen_addr: "127.0.0.1:$web"
  ssh_listen_addr: "127.0.0.1:$ssh"
  tunnel_listen_addr: "127.0.0.1:$tunnel"
  public_addr: "localhost:$web"
YAML
ctl() { "$bin/mezctl" --socket="$home/hub/admin.sock" "$@"; }
login=$(id -un)
node=$(hostname | tr -cd 'a-zA-Z0-9.-')

say "hub: 127.0.0.1, ports $web (web), $ssh (ssh), $tunnel (agents), $grpc (API)"
start hub "$bin/mezhub" --config="$home/mezite.yaml"
await hub "the hub to answer on port $web" curl -sfk "https://127.0.0.1:$web/healthz"

if ! ctl users get admin >/dev/null 2>&1; then
  say "first start: making the user 'admin' (roles admin, access; logs in on nodes as $login)"
  printf '%s\n' "$ADMIN_PASSWORD" | ctl users create admin --roles=admin,access --traits="logins=$login" --password-stdin >/dev/null
fi

say "agent: node '$node'"
join=()
[ -f "$home/agent/agent/x509.pem" ] || join=("MEZITE_JOIN_TOKEN=$(ctl tokens create --roles=node --ttl=10m --format=json |
  sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' | head -1)")
start agent env MEZITE_AUTH_ADDR="127.0.0.1:$grpc" MEZITE_PROXY_ADDR="127.0.0.1:$tunnel" MEZITE_DATA_DIR="$home/agent" \
  MEZITE_NODE_NAME="$node" MEZITE_LABELS="env=local" "${join[@]}" "$bin/mezd"
await agent "the node to be connected" connected "$node"

say "a session: msh login, then plain ssh through the hub"
export MSH_HOME="$home/msh"
pin=$(ctl ca status --format=json | grep -o 'sha256:[0-9a-f]*' | head -1)
"$bin/msh" login --proxy="localhost:$web" --user=admin --password="$ADMIN_PASSWORD" --ca-pin="$pin" --out="$home/id_mezite" >/dev/null
printf '@cert-authority * %s\n' "$(ctl ca export --type=host --format=openssh | sed 's/^@cert-authority \* //')" >"$home/known_hosts"
cat >"$home/ssh_config" <<CONFIG
Host *
  IdentityFile $home/id_mezite
  CertificateFile $home/id_mezite-cert.pub
  IdentitiesOnly yes
  UserKnownHostsFile $home/known_hosts
CONFIG
mark="hello from $node, $(date -u +%H:%M:%S)"
for way in "ssh -F $home/ssh_config -J admin@localhost:$ssh $login@$node" "$bin/msh ssh $login@$node"; do
  answer=$($way "echo $mark")
  [ "$answer" = "$mark" ] || { echo "the session through '$way' did not answer as it should: $answer" >&2; exit 1; }
  echo "    \$ ${way//$PWD\//} 'echo …'"; echo "    $answer"
done
await hub "the recording to arrive" recorded "$mark"
echo "    \$ mezctl recordings play $(recorded "$mark")"
ctl recordings play "$(recorded "$mark")" --speed=100 | sed 's/^/    /'
ctl audit verify | sed 's/^/    audit: /'

cat <<TEXT

Mezite is up.
  web     https://localhost:$web   user admin, password: $ADMIN_PASSWORD
          (its certificate is the cluster's own: $pin)
  msh     export PATH=$bin:\$PATH MSH_HOME=$MSH_HOME
          msh ls;  msh ssh $login@$node
          anew: msh login --proxy=localhost:$web --user=admin --ca-pin=$pin
  ssh     ssh -F $home/ssh_config -J admin@localhost:$ssh $login@$node
  admin   export MEZITE_ADMIN_SOCKET=$home/hub/admin.sock
          mezctl users ls;  mezctl recordings ls;  mezctl audit ls
  logs    $home/hub.log, $home/agent.log
  stop    make down   (the data stays in $home)
TEXT
