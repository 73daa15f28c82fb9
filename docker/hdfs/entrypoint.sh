#!/bin/sh
# Writes the daemon's configuration from the environment and becomes the daemon.
#
#   entrypoint.sh namenode | datanode
#
# Inside, the NameNode is always namenode:9000 (RPC) and :9870 (HTTP). The NameNode sends a client to
# DATANODE_HOSTNAME and the DataNode's ports, so the ports are the same inside and outside.
# DATANODE_HOSTNAME is 127.0.0.1 for clients on the host, `datanode` for clients in containers.
set -eu
role=${1:?namenode or datanode}
: "${NAMENODE:=namenode}" "${DATA:=/data}"
: "${DATANODE_HOSTNAME:=127.0.0.1}" "${DATANODE_PORT:=9866}" "${DATANODE_HTTP_PORT:=9864}"
: "${JAVA_OPTIONS:=-Xmx256m}"
home=/opt/hadoop
conf=/tmp/hadoop-conf-$role
mkdir -p "$conf" "$DATA/hdfs"
echo "$role" >/tmp/hadoop-role

property() { printf '<property><name>%s</name><value>%s</value></property>\n' "$1" "$2"; }

{
    echo '<configuration>'
    property fs.defaultFS "hdfs://$NAMENODE:9000"
    property hadoop.tmp.dir "$DATA/hdfs"
    property hadoop.http.staticuser.user hdfs
    property dfs.replication 1
    property dfs.permissions.enabled false
    property dfs.namenode.rpc-address "$NAMENODE:9000"
    property dfs.namenode.rpc-bind-host 0.0.0.0
    property dfs.namenode.http-address 0.0.0.0:9870
    property dfs.namenode.name.dir "file://$DATA/hdfs/name"
    property dfs.datanode.data.dir "file://$DATA/hdfs/data"
    property dfs.datanode.address "0.0.0.0:$DATANODE_PORT"
    property dfs.datanode.http.address "0.0.0.0:$DATANODE_HTTP_PORT"
    property dfs.datanode.ipc.address 0.0.0.0:9867
    property dfs.datanode.hostname "$DATANODE_HOSTNAME"
    property dfs.namenode.datanode.registration.ip-hostname-check false
    property dfs.namenode.safemode.extension 0
    property dfs.namenode.fs-limits.min-block-size 4096
    property dfs.blocksize 1048576
    # A dead DataNode is noticed within seconds, not after ten minutes.
    property dfs.heartbeat.interval 1
    property dfs.namenode.heartbeat.recheck-interval 500
    property dfs.namenode.redundancy.interval.seconds 1s
    # A DataNode that starts first, or outlives the NameNode, finds it again soon.
    property ipc.client.connect.retry.interval 200
    property ipc.client.connect.max.retries 50
    echo '</configuration>'
} >"$conf/site.xml"

case $role in
namenode) main=org.apache.hadoop.hdfs.server.namenode.NameNode ;;
datanode) main=org.apache.hadoop.hdfs.server.datanode.DataNode ;;
*)
    echo "entrypoint.sh: '$role' is neither namenode nor datanode" >&2
    exit 2
    ;;
esac

# With the class archives of train.sh a daemon starts in half the time. Java takes an archive only if
# the class path has no folder, so Hadoop's configuration files are in a jar.
if [ -n "${RECORD:-}" ]; then
    sharing="-XX:ArchiveClassesAtExit=$RECORD"
elif [ -r "$home/$role.jsa" ]; then
    sharing="-XX:SharedArchiveFile=$home/$role.jsa"
else
    sharing=
fi
path=$(printf '%s:' "$home"/lib/*.jar)

java_main() {
    # Word splitting of the options is wanted.
    # shellcheck disable=SC2086
    "$@" java $JAVA_OPTIONS -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
        -Xshare:auto -Xlog:disable -Xlog:all=error:stderr $sharing \
        -cp "${path%:}" "$main" -conf "$conf/site.xml" $arguments
}

if [ "$role" = namenode ] && [ ! -e "$DATA/hdfs/name/current/VERSION" ]; then
    if [ -d "$home/formatted" ]; then
        # Under another name first: a kill in between must not leave half a name folder.
        rm -rf "$DATA/hdfs/name.new" "$DATA/hdfs/name"
        cp -r "$home/formatted" "$DATA/hdfs/name.new"
        mv "$DATA/hdfs/name.new" "$DATA/hdfs/name"
    else
        (sharing='' arguments='-format -force -nonInteractive' && java_main env)
        # While the image is built: keep the new name folder, which later first starts copy.
        if [ -n "${RECORD:-}" ]; then cp -r "$DATA/hdfs/name" "$DATA/formatted"; fi
    fi
fi
arguments='' && java_main exec
