#!/bin/bash
# One node of a cluster, as cluster.yaml starts it:
#   deploy/node.sh ray ARGUMENTS...   Ray, in the environment that its workers need
#   deploy/node.sh forwarder          the forwarder and the compactor of this node's journal, anew whenever they end
#   deploy/node.sh stop               ends these two
# ~/sonoscope.env (or $SONOSCOPE_ENV) holds NAME=value lines: SONOSCOPE_SHARED (a folder that every node has), and the addresses
# and secrets of SONOSCOPE_JOBS_DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT, ELASTICSEARCH_URL and their like.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
set -a
SONOSCOPE_DATA_DIR=/var/lib/sonoscope
RAY_AUTH_MODE=token
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.proxy:middlewares
OMP_WAIT_POLICY=PASSIVE
env_file=${SONOSCOPE_ENV:-$HOME/sonoscope.env}
# shellcheck disable=SC1090
[ ! -f "$env_file" ] || . "$env_file"
set +a
pid_file=$SONOSCOPE_DATA_DIR/node.pid

share() { # the journal stays on this node's disk; uploads, results and the keys are the same on all of them
  [ -n "${SONOSCOPE_SHARED:-}" ] || { echo "SONOSCOPE_SHARED is not set in $env_file: a folder that every node has" >&2; exit 2; }
  mkdir -p "$SONOSCOPE_SHARED/assets" "$SONOSCOPE_SHARED/videos"
  "$home/.venv/bin/python" -c 'import sys; from pathlib import Path; from telemetry.redact import Redactor; Redactor.from_file(Path(sys.argv[1]))' \
    "$SONOSCOPE_SHARED/redact.key"
  for name in assets videos redact.key; do ln -sfn "$SONOSCOPE_SHARED/$name" "$SONOSCOPE_DATA_DIR/$name"; done
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
  *) sed -n '2,5p' "$0" >&2; exit 2 ;;
esac
