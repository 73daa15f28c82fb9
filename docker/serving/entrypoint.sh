#!/bin/sh
# Starts the launcher, and ends it with all its processes on SIGTERM or SIGINT.
#
#   entrypoint.sh [OPTION of `python -m harness.serving.launcher` …]
#   entrypoint.sh COMMAND [ARGUMENT …]
#
# The launcher starts the server through a shell of its own, and neither passes a signal on. Process 1
# does not even have the default action of SIGTERM.
set -eu
case ${1:-} in
-* | '') set -- python3 -m harness.serving.launcher "$@" ;;
*) exec "$@" ;;
esac

# Process 1 ignores a signal that has no handler. No other process runs yet.
trap 'exit 143' TERM INT
if [ -n "${WAIT_FOR_MODEL:-}" ]; then
    # Beside a monitor that still has to install the first release.
    until [ -f "$WAIT_FOR_MODEL/serving_server_conf.prototxt" ]; do sleep 0.5; done
fi
# -1: every process of this container except process 1. Set before the launcher starts, so that a
# signal always reaches the launcher.
trap 'kill -TERM -1 || true; wait; exit 143' TERM INT
"$@" &
launcher=$!
code=0
wait "$launcher" || code=$?
exit "$code"
