#!/bin/sh
# Paddle Serving's own monitor, with bash as /bin/sh.
#
# For HTTP it runs "wget … &>/dev/null" through /bin/sh. Where that is dash (Debian, Ubuntu) the
# line means something else: wget runs in the background, counts as successful at once, and the
# first poll ends the monitor. To compare anything beyond that, bash is mounted over /bin/sh in a
# mount namespace that only this process has. Needs root.
exec unshare -m --propagation slave sh -c '
    mount --bind "$(command -v bash)" "$(readlink -f /bin/sh)" &&
    exec "${PYTHON:-python}" -W ignore -m paddle_serving_server.monitor "$@"' sh "$@"
