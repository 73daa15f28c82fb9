#!/bin/sh
# Mounted into the vendor's image: starts our launcher with the Python that has the server's
# package there, whatever its name.
set -u
for python in python3 python python3.9 python3.8 python3.7; do
    # 3.7: what the launcher's annotations need.
    "$python" -c 'import importlib.util as u, sys
sys.exit(sys.version_info < (3, 7) or u.find_spec("paddle_serving_server") is None)' \
        2>/dev/null || continue
    exec "$python" /opt/hot-loading/launcher.py "$@"
done
echo "entrypoint.sh: no Python 3.7 or newer in this image has paddle_serving_server" >&2
exit 2
