# Sourced by up.sh and down.sh: processes by pid file, waiting with a bound.

say() { echo "==> $*"; }

# alive NAME: whether the process of NAME.pid runs and is the one that wrote it (a pid may have been given to another).
alive() {
  local pid start
  [ -f "$home/$1.pid" ] && read -r pid start <"$home/$1.pid" || return 1
  [ "$(awk '{print $22}' "/proc/$pid/stat" 2>/dev/null)" = "$start" ]
}

# start NAME COMMAND…: in the background, detached from this terminal, unless it runs already.
start() {
  local name=$1; shift
  if alive "$name"; then echo "    $name runs already (pid $(cut -d' ' -f1 "$home/$name.pid"))"; return; fi
  MEZITE_CA_KEY_PASSPHRASE=${MEZITE_CA_KEY_PASSPHRASE:-} MEZITE_AUDIT_HMAC_KEY=${MEZITE_AUDIT_HMAC_KEY:-} \
    setsid "$@" </dev/null >>"$home/$name.log" 2>&1 &
  local pid=$!
  echo "$pid $(awk '{print $22}' "/proc/$pid/stat")" >"$home/$name.pid"
}

# await NAME WHAT COMMAND…: until the command succeeds; gives up when the process ends or after a minute.
await() {
  local name=$1 what=$2 end=$((SECONDS + 60)); shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name" || [ $SECONDS -ge $end ]; then
      alive "$name" && echo "waited a minute in vain for $what" >&2 || echo "the $name ended; its last words:" >&2
      tail -5 "$home/$name.log" >&2
      exit 1
    fi
    sleep 0.1
  done
}

connected() { ctl nodes get "$1" --format=json | grep -q '"connected": *true'; }

# recorded TEXT: the id of the newest complete recording of a command that has TEXT in it.
recorded() {
  ctl recordings ls --format=json | /usr/bin/python3 -c '
import json, sys
found = [r["session_id"] for r in json.load(sys.stdin) if sys.argv[1] in r.get("command", "") and r.get("complete")]
print(found[0]) if found else sys.exit(1)' "$1"
}

# finish NAME: SIGTERM, then SIGKILL after half a minute.
finish() {
  local pid end=$((SECONDS + 30))
  if alive "$1"; then
    pid=$(cut -d' ' -f1 "$home/$1.pid")
    kill "$pid" 2>/dev/null || true
    while alive "$1" && [ $SECONDS -lt $end ]; do sleep 0.1; done
    alive "$1" && { echo "$1 did not end by itself; killing it"; kill -9 "$pid"; }
    echo "    $1 stopped"
  fi
  rm -f "$home/$1.pid"
}
