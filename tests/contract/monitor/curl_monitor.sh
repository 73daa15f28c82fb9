#!/bin/sh
# A monitor of somebody else: curl and mv, options of its own.
#   sh curl_monitor.sh FROM DONEFILE MODEL INTO LIVE TIME_FILE TOP EVERY
# It moves the old release away before the new one is in place, and says where it pulls from.
set -u
from=$1 donefile=$2 model=$3 into=$4 live=$5 time_file=$6 top=$7 every=$8
work=$into/.curl-monitor
mkdir -p "$work"
echo "watching $from/$donefile"
while :; do
    if curl -fsS "$from/$donefile" -o "$work/donefile" \
        && ! cmp -s "$work/donefile" "$work/installed" \
        && curl -fsS "$from/$model" -o "$work/model" \
        && rm -rf "$work/new" && mkdir "$work/new" && tar -xzf "$work/model" -C "$work/new"; then
        last=$(stat -c %Y "$into/$live/$time_file" 2>/dev/null || echo 0)
        now=$(date +%s)
        [ "$now" -gt "$last" ] || now=$((last + 1))
        touch -d "@$now" "$work/new/$top/$time_file"
        rm -rf "$work/old"
        mv "$into/$live" "$work/old"
        mv "$work/new/$top" "$into/$live"
        mv "$work/donefile" "$work/installed"
        echo "installed a release"
    fi
    sleep "$every"
done
