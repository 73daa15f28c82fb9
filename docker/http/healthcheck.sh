#!/bin/sh
# Does the service's own work. Reads a known file as a whole and by range, and looks for the two
# headers by which a monitor tells releases apart. Then compares the first 64 KiB of one published
# file with the folder.
set -eu
# One check at a time: all use the same temporary file.
exec 9<"$0"
flock 9
url=http://127.0.0.1:8080
ask() {
    # nginx.conf keeps requests of this user agent out of the access log.
    curl --silent --show-error --fail --max-time 4 --noproxy '*' --user-agent hot-loading-health "$@"
}

[ "$(ask "$url/.health/digits")" = 0123456789 ]
[ "$(ask --range 3-5 "$url/.health/digits")" = 345 ]
ask --head "$url/.health/digits" | grep -qi '^etag:'
ask --head "$url/.health/digits" | grep -qi '^last-modified:'

same() { ask --range 0-65535 "$url/$file" | cmp -s - /tmp/health-expected; }
# The folder is empty before the first release. The check takes only a name that needs no quoting in
# a URL.
ls /data >/dev/null
file=$(cd /data && find . -maxdepth 4 -type f -size +0 | grep -E '^[A-Za-z0-9._/-]+$' | head -n 1)
[ -n "$file" ] || exit 0
file=${file#./}
for _ in 1 2 3; do
    # A publish may replace the file during the check, so there are three tries. A removed file
    # proves nothing.
    [ -e "/data/$file" ] || exit 0
    head -c 65536 "/data/$file" >/tmp/health-expected
    if same; then exit 0; fi
done
echo "healthcheck.sh: /$file is not served as it lies in the folder" >&2
exit 1
