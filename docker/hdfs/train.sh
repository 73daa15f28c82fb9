#!/bin/sh
# Runs once while the image is built: formats a name folder, starts both daemons, and writes and
# reads one file through WebHDFS. Then it ends the daemons, which write their class archives.
#
# The build fails if HDFS does not start, or if there is no name folder. A missing archive is only
# reported, because daemons also start without one, but slower.
set -eu
home=/opt/hadoop
export NAMENODE=localhost DATA=/tmp/train
: >/tmp/train.log
mkdir -p /tmp/train

RECORD=$home/namenode.jsa "$home/entrypoint.sh" namenode >>/tmp/train.log 2>&1 &
namenode=$!
RECORD=$home/datanode.jsa "$home/entrypoint.sh" datanode >>/tmp/train.log 2>&1 &
datanode=$!

web=http://localhost:9870/webhdfs/v1/.train
works() {
    curl -sfL --noproxy '*' --max-time 10 -X PUT --data-binary x "$web?op=CREATE&overwrite=true" &&
        curl -sfL --noproxy '*' --max-time 10 "$web?op=OPEN" >/dev/null &&
        curl -sf --noproxy '*' --max-time 10 -X DELETE "$web?op=DELETE" >/dev/null
}
tries=0
until works; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 $namenode; then
        echo "train.sh: HDFS did not come up in the build; its last lines:" >&2
        tail -n 20 /tmp/train.log >&2
        exit 1
    fi
    sleep 0.4
done
kill -TERM $namenode $datanode
wait || true
for role in namenode datanode; do
    [ -s "$home/$role.jsa" ] || echo "train.sh: no class archive of the $role was recorded"
done
mv /tmp/train/formatted "$home/formatted"
rm -rf /tmp/train /tmp/train.log /tmp/hadoop-*
