#!/usr/bin/env bash
# Redis and RE Manager for this microscope, on addresses that only this computer reaches.
#
#   STEDOPT_CONFIG, STEDOPT_CATALOG   as for the profile's startup files
#   STEDOPT_QUEUE_DIR                 where Redis and the keys are kept; left out: stedopt-queue
#   STEDOPT_REDIS_PORT, STEDOPT_CONTROL_PORT, STEDOPT_INFO_PORT   left out: 60590, 60615, 60625
#
# Ctrl-C ends both. Close the environment first: a session whose process is killed leaves it to
# the watchdog to switch the lasers off.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
state="${STEDOPT_QUEUE_DIR:-stedopt-queue}"
redis_port="${STEDOPT_REDIS_PORT:-60590}"
control="tcp://127.0.0.1:${STEDOPT_CONTROL_PORT:-60615}"
info="tcp://127.0.0.1:${STEDOPT_INFO_PORT:-60625}"

for program in redis-server redis-cli setsid start-re-manager; do
  command -v "$program" >/dev/null || {
    echo "error: $program is not there: pip install 'stedopt-bluesky[queueserver]' and, from the" \
      "system's packages, redis-server and setsid (util-linux)" >&2
    exit 2
  }
done
python="$(dirname "$(command -v start-re-manager)")/python"
umask 077
mkdir -p "$state"
state="$(cd "$state" && pwd)"

# Whoever has the public key may have any code run by RE Manager (script upload): only this
# account can read the files.
if [ ! -s "$state/private.key" ]; then
  "$python" - "$state" <<'PYTHON'
import pathlib, sys, zmq
public, private = zmq.curve_keypair()
folder = pathlib.Path(sys.argv[1])
(folder / "public.key").write_bytes(public + b"\n")
(folder / "private.key").write_bytes(private + b"\n")
PYTHON
fi
if [ ! -s "$state/redis.password" ]; then
  "$python" -c 'import secrets; print(secrets.token_urlsafe(32))' >"$state/redis.password"
fi
QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER="$(cat "$state/private.key")"
export QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER
REDISCLI_AUTH="$(cat "$state/redis.password")"
export REDISCLI_AUTH

cat >"$state/redis.conf" <<CONF
bind 127.0.0.1
port $redis_port
protected-mode yes
requirepass $REDISCLI_AUTH
dir $state
save 60 1
pidfile $state/redis.pid
daemonize no
CONF
# RE Manager reads the address from here, not from its command line, which everybody can see.
cat >"$state/manager.yml" <<CONF
network:
  redis_addr: ":$REDISCLI_AUTH@127.0.0.1:$redis_port"
CONF

# Sessions of their own: Ctrl-C at the terminal must not end Redis before RE Manager.
setsid redis-server "$state/redis.conf" >"$state/redis.log" 2>&1 &
redis=$!
manager=""
end() {
  trap - EXIT
  # A signal that comes once more, as `timeout` sends it, must not end this before Redis.
  trap '' INT TERM
  if [ -n "$manager" ]; then kill "$manager" 2>/dev/null || true; wait "$manager" || true; fi
  kill "$redis" 2>/dev/null || true
  wait "$redis" || true
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for _ in $(seq 100); do
  redis-cli -h 127.0.0.1 -p "$redis_port" ping 2>/dev/null | grep -q PONG && break
  kill -0 "$redis" 2>/dev/null || { echo "error: Redis: $(tail -n 1 "$state/redis.log")" >&2; exit 1; }
  sleep 0.1
done

echo "control: $control"
echo "key:     export QSERVER_ZMQ_PUBLIC_KEY=\$(cat '$state/public.key')"
start-re-manager \
  --config "$state/manager.yml" \
  --startup-dir "$here/../profile_stedopt/startup" \
  --user-group-permissions "$here/user_group_permissions.yaml" \
  --existing-plans-devices "$state" \
  --zmq-control-addr "$control" \
  --zmq-info-addr "$info" \
  --zmq-publish-console OFF \
  "$@" &
manager=$!
wait "$manager"
