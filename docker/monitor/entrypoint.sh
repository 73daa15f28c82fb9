#!/bin/sh
# Starts the monitor with its metrics port. Runs a command such as `status` or `pin` unchanged.
set -eu
case ${1:-} in
[!-]* | --help | -h) exec python3 -m monitor "$@" ;;
*) exec python3 -m monitor --metrics_port "$METRICS_PORT" --metrics_host 0.0.0.0 "$@" ;;
esac
