#!/bin/sh
# Starts the launcher and ends all of it in order.
#
#   entrypoint.sh [OPTION of `python -m harness.serving.launcher` …]
#   entrypoint.sh COMMAND [ARGUMENT …]
#
# The launcher starts the server through a shell of its own, and neither passes a signal on; as
# process 1 neither would even have SIGTERM's default action.
set -eu
case ${1:-} in
-* | '') set -- python3 -m harness.serving.launcher "$@" ;;
*) exec "$@" ;;
esac

# Process 1 ignores what it has no handler for; nothing else runs yet.
trap 'exit 143' TERM INT
if [ -n "${WAIT_FOR_MODEL:-}" ]; then
    # Beside a monitor that still has to install the first release.
    until [ -f "$WAIT_FOR_MODEL/serving_server_conf.prototxt" ]; do sleep 0.5; done
fi
# -1: every process of this container but process 1 itself. Set first: the launcher must not be
# there without it.
trap 'kill -TERM -1 || true; wait; exit 143' TERM INT
"$@" &
launcher=$!
code=0
wait "$launcher" || code=$?
exit "$code"
