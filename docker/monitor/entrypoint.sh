#!/bin/sh
# The monitor with its metrics port; a command such as `status` or `pin` as it is.
set -eu
case ${1:-} in
[!-]* | --help | -h) exec python3 -m monitor "$@" ;;
*) exec python3 -m monitor --metrics_port "$METRICS_PORT" --metrics_host 0.0.0.0 "$@" ;;
esac
