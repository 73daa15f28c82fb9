#!/bin/sh
# Rolls a release out in stages: rollout.sh SERVERS RELEASE
#
# SERVERS is a file with a line for each server: its stage, the address of its monitor's
# --metrics_port, and the command that runs `python -m monitor` there. The first line is the canary.
# The canary is pinned during the roll-out only. All others are always pinned to one release.
#
# Exit codes: 0 all servers serve the release; 3 stopped, the later stages are unchanged; 2 a wrong
# argument; else a command failed.
#
# Environment: LOCAL_PATH and MODEL as the monitors have them; TOKEN_FILE for POST /-/poll; SOAK, the
# seconds that a stage has to serve before the next begins; LIMIT, the seconds a stage may take.
set -eu
[ $# = 2 ] || { echo "usage: rollout.sh SERVERS RELEASE" >&2; exit 2; }
servers=$1 release=$2
where="--local_path ${LOCAL_PATH:-/srv/serving} --local_model_name ${MODEL:-uci_housing_model}"
soak=${SOAK:-60} limit=${LIMIT:-300}

# metric URL NAME: the whole number that a monitor shows, which may be written as 2.0261129e+07.
metric() {
    curl -fsS --max-time 10 "$1/metrics" |
        awk -v name="serving_monitor_$2{" 'index($0, name) == 1 { printf "%.0f\n", $NF }'
}

# on URL WORD...: runs a command of the monitor on the server with this address.
on() {
    url=$1 && shift
    command=$(awk -v url="$url" '$1 !~ /^#/ && $2 == url { $1 = $2 = ""; print; exit }' "$servers")
    # The command is several words.
    # shellcheck disable=SC2086
    $command "$@" $where </dev/null
}

# look URL: lets the monitor look at once. The header is no argument, because `ps` shows arguments.
look() {
    sed '1!d; s/^/Authorization: Bearer /' "$TOKEN_FILE" |
        curl -fsS --max-time 10 -o /dev/null -X POST -H @- "$1/-/poll"
}

stop() {
    echo "stopped: $1 does not serve release $release; it says:" >&2
    on "$1" status >&2 || true
    exit 3
}

# good URL: the server serves the release now. After a rollback `served_release` keeps its number
# until the server serves the old release. `release` changes at once.
good() {
    [ "$(metric "$1" release)" = "$release" ] &&
        [ "$(metric "$1" served_release)" = "$release" ] &&
        curl -fsS --max-time 10 -o /dev/null "$1/readyz"
}

# refuse_bad URL: stops if the release is in quarantine there. A pin would swap it in again.
refuse_bad() {
    if on "$1" status | grep -q "^quarantined: release $release:"; then stop "$1"; fi
}

# wait_for URL: returns once the server serves the release. A release that its monitor took back is
# in quarantine, and `status` says so.
wait_for() {
    end=$(($(date +%s) + limit))
    before=$(metric "$1" rollbacks_total)
    while ! good "$1"; do
        [ "$(metric "$1" rollbacks_total)" = "$before" ] || stop "$1"
        [ "$(date +%s)" -lt "$end" ] || {
            echo "$limit s are over; if a newer release is published, roll that one out" >&2
            stop "$1"
        }
        sleep 1
    done
}

urls() {
    awk -v stage="$1" '$1 == stage { print $2 }' "$servers"
}

canary=$(awk 'NF && $1 !~ /^#/ { print $1; exit }' "$servers")
[ -n "$canary" ] || { echo "$servers names no server; write a line for each" >&2; exit 2; }
done_urls=

unpin() {
    for url in $(urls "$canary"); do
        on "$url" unpin || echo "cannot unpin $url; unpin it by hand" >&2
    done
}
trap unpin EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for stage in $(awk 'NF && $1 !~ /^#/ && !seen[$1]++ { print $1 }' "$servers"); do
    for url in $(urls "$stage"); do
        refuse_bad "$url"
        on "$url" pin "$release" --why "roll-out of release $release"
        [ -z "${TOKEN_FILE:-}" ] || look "$url"
    done
    for url in $(urls "$stage"); do
        refuse_bad "$url"
        wait_for "$url"
        done_urls="$done_urls $url"
    done
    end=$(($(date +%s) + soak))
    while [ "$(date +%s)" -lt "$end" ]; do
        for url in $done_urls; do good "$url" || stop "$url"; done
        sleep 1
    done
    echo "stage $stage serves release $release"
done
