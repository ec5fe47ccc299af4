#!/bin/bash
# One node of a cluster, as cluster.yaml starts it:
#   deploy/node.sh ray ARGUMENTS...   Ray, in the environment that its workers need
#   deploy/node.sh serve ARGUMENTS... Serve's commands, with Ray's token
#   deploy/node.sh forwarder          the forwarder and the compactor of this node's journal, anew whenever they end
#   deploy/node.sh stop               ends these two
# ~/sonoscope.env (or $SONOSCOPE_ENV) holds NAME=value lines: SONOSCOPE_SHARED (a folder that every node has; docs/cluster.md says
# what stands in its place), and the addresses and secrets of SONOSCOPE_JOBS_DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT, ELASTICSEARCH_URL and their like.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
set -a
SONOSCOPE_DATA_DIR=/var/lib/sonoscope
RAY_AUTH_MODE=token
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.proxy:middlewares
OMP_WAIT_POLICY=PASSIVE
# An answer to a machine that has vanished stops a whole replica of Ray 2.60 until its connection ends: after 20 s, not 120 (docs/cluster.md).
RAY_grpc_client_keepalive_timeout_ms=20000
env_file=${SONOSCOPE_ENV:-$HOME/sonoscope.env}
# shellcheck disable=SC1090
[ ! -f "$env_file" ] || . "$env_file"
set +a
pid_file=$SONOSCOPE_DATA_DIR/node.pid

share() { # the journal stays on this node's disk; uploads, results and the keys are the same on all of them
  local python=$home/.venv/bin/python shared=${SONOSCOPE_SHARED:-} name
  if [ -z "$shared" ]; then # the store holds uploads and results, the environment the keys
    [[ ${SONOSCOPE_ARTIFACTS_URL:-} == s3://* && ${SONOSCOPE_REDACT_KEY:-} =~ ^[0-9a-f]{64}$ && -n ${SONOSCOPE_WEBHOOK_SECRET:-} ]] || {
      echo "SONOSCOPE_SHARED is not set in $env_file: a folder that every node has. It may be left out where there are" \
        "SONOSCOPE_ARTIFACTS_URL=s3://..., SONOSCOPE_REDACT_KEY (64 hexadecimal digits) and SONOSCOPE_WEBHOOK_SECRET" >&2; exit 2; }
    "$python" -c 'import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), bytes.fromhex(os.environ["SONOSCOPE_REDACT_KEY"]))' \
      "$SONOSCOPE_DATA_DIR/redact.key"
    return
  fi
  mkdir -p "$shared/assets" "$shared/videos"
  "$python" -c 'import sys; from pathlib import Path; from telemetry.redact import Redactor; Redactor.from_file(Path(sys.argv[1]))' "$shared/redact.key"
  # Made once: a link that points at nothing would be taken for a key that is there.
  "$python" -c 'import sys; from pathlib import Path; from serve.settings import Settings; Settings(data_dir=Path(sys.argv[1])).webhook_key' "$shared"
  for name in assets videos redact.key webhook.key; do ln -sfn "$shared/$name" "$SONOSCOPE_DATA_DIR/$name"; done
}

stop() { # the process group that `forwarder` left, if it is still ours
  local pid
  pid=$(cat "$pid_file" 2>/dev/null || true)
  if [ -n "$pid" ] && grep -qs "node.sh" "/proc/$pid/cmdline"; then kill -- "-$pid"; fi
  rm -f "$pid_file"
}

keep() { # runs the command for ever; one that cannot start is not tried more often than every 5 s
  while true; do "$@" || true; sleep 5; done
}

case "${1:-}" in
  ray) shift; share; exec "$home/.venv/bin/ray" "$@" ;;
  serve) shift; exec "$home/.venv/bin/serve" "$@" ;;
  forwarder)
    share; stop
    setsid "${BASH_SOURCE[0]}" kept </dev/null >>"$SONOSCOPE_DATA_DIR/node.log" 2>&1 &
    echo $! >"$pid_file" ;;
  kept)
    kinds=()
    [ -z "${OTEL_EXPORTER_OTLP_ENDPOINT:-}${OTEL_EXPORTER_OTLP_TRACES_ENDPOINT:-}${TEMPO_URL:-}" ] || kinds+=(--forwarded spans)
    [ -z "${ELASTICSEARCH_URL:-}" ] || kinds+=(--forwarded events)
    [ ${#kinds[@]} -eq 0 ] || keep "$home/.venv/bin/python" -m sonoscope forward &
    keep "$home/.venv/bin/python" -m telemetry.compact "$SONOSCOPE_DATA_DIR" --every 60 ${kinds[@]+"${kinds[@]}"} ;;
  stop) stop ;;
  *) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac
