#!/bin/sh
# Mounted into the vendor's image: starts our launcher with the Python that has the server's
# package there, whatever its name.
#
#   entrypoint.sh OPTION …      the options of `python -m harness.serving.launcher`
#   entrypoint.sh health        the health check, with the same Python
set -u
for python in python3 python python3.9 python3.8 python3.7; do
    # The launcher's annotations need 3.7.
    package=$("$python" -c 'import importlib.util as u, sys
found = u.find_spec("paddle_serving_server")
if sys.version_info < (3, 7) or found is None:
    sys.exit(1)
print(list(found.submodule_search_locations)[0])' 2>/dev/null) || continue
    if [ "${1:-}" = health ]; then exec "$python" /opt/hot-loading/healthcheck.py; fi
    if [ -z "${SERVING_BIN:-}" ]; then
        # The place in the vendor's images. They name it only in root's .bashrc, which this shell
        # does not read. Without a name the launcher would download another binary.
        SERVING_BIN=/usr/local/serving_bin/serving
        if [ -x "$SERVING_BIN" ]; then
            export SERVING_BIN
        elif ls "$package"/serving-*/serving >/dev/null 2>&1; then
            # Downloaded into the image: the launcher finds it if SERVING_BIN is not set.
            unset SERVING_BIN
        else
            echo "entrypoint.sh: this image has no server binary, neither in SERVING_BIN nor at" \
                "$SERVING_BIN; name one that has in OFFICIAL_IMAGE or OFFICIAL_GPU_IMAGE" >&2
            exit 2
        fi
    fi
    exec "$python" /opt/hot-loading/launcher.py "$@"
done
echo "entrypoint.sh: no Python 3.7 or newer in this image has paddle_serving_server; name an image" \
    "that has one in OFFICIAL_IMAGE or OFFICIAL_GPU_IMAGE" >&2
exit 2
