#!/bin/sh
# The service's own work: a known file whole and by range, with the two headers that a monitor tells
# releases apart by; and one of the files in the folder that is served, whole, as it lies there.
set -eu
# One at a time: they share the file below.
exec 9<"$0"
flock 9
url=http://127.0.0.1:8080
ask() {
    # The name keeps it out of the access log (nginx.conf).
    curl --silent --show-error --fail --max-time 4 --noproxy '*' --user-agent hot-loading-health "$@"
}

[ "$(ask "$url/.health/digits")" = 0123456789 ]
[ "$(ask --range 3-5 "$url/.health/digits")" = 345 ]
ask --head "$url/.health/digits" | grep -qi '^etag:'
ask --head "$url/.health/digits" | grep -qi '^last-modified:'

same() { ask --range 0-65535 "$url/$file" | cmp -s - /tmp/health-expected; }
# Empty before the first release. Only names that need no quoting in a URL.
ls /data >/dev/null
file=$(cd /data && find . -maxdepth 4 -type f -size +0 | grep -E '^[A-Za-z0-9._/-]+$' | head -n 1)
[ -n "$file" ] || exit 0
file=${file#./}
for _ in 1 2 3; do
    # A release may have come in between; one that was removed says nothing.
    [ -e "/data/$file" ] || exit 0
    head -c 65536 "/data/$file" >/tmp/health-expected
    if same; then exit 0; fi
done
echo "healthcheck.sh: /$file is not served as it lies in the folder" >&2
exit 1
