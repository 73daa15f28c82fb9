#!/bin/sh
# The monitor with its metrics port; `status` and `rollback` as they are.
set -eu
case ${1:-} in
status | rollback | --help | -h) exec python3 -m monitor "$@" ;;
*) exec python3 -m monitor --metrics_port "$METRICS_PORT" --metrics_host 0.0.0.0 "$@" ;;
esac
