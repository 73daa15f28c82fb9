#!/bin/sh
# A whole file, a range of it, and the two headers a monitor tells releases apart by.
set -eu
url=http://127.0.0.1:8080/.health/digits
ask() { curl --silent --show-error --fail --max-time 4 --noproxy '*' "$@"; }
[ "$(ask "$url")" = 0123456789 ]
[ "$(ask --range 3-5 "$url")" = 345 ]
ask --head "$url" | grep -qi '^etag:'
ask --head "$url" | grep -qi '^last-modified:'
# The folder that is served can be read.
ls /data > /dev/null
