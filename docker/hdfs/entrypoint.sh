#!/bin/sh
# Writes the daemon's configuration from the environment and becomes the daemon.
#
#   entrypoint.sh namenode | datanode
#
# Inside, the NameNode is always namenode:9000 (RPC) and :9870 (HTTP). The DataNode's ports are the
# same inside and outside, because a client is sent to them: DATANODE_HOSTNAME is the address a
# client is told (127.0.0.1 for clients on the host, `datanode` for clients in containers).
set -eu
role=${1:?namenode or datanode}
: "${DATANODE_HOSTNAME:=127.0.0.1}" "${DATANODE_PORT:=9866}" "${DATANODE_HTTP_PORT:=9864}"
: "${JAVA_OPTIONS:=-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto}"
conf=/tmp/hadoop-conf
mkdir -p "$conf" /data/hdfs
echo "$role" >"$conf/role"

property() { printf '<property><name>%s</name><value>%s</value></property>\n' "$1" "$2"; }

{
    echo '<configuration>'
    property fs.defaultFS hdfs://namenode:9000
    property hadoop.tmp.dir /data/hdfs
    property hadoop.http.staticuser.user hdfs
    echo '</configuration>'
} >"$conf/core-site.xml"

{
    echo '<configuration>'
    property dfs.replication 1
    property dfs.permissions.enabled false
    property dfs.namenode.rpc-address namenode:9000
    property dfs.namenode.rpc-bind-host 0.0.0.0
    property dfs.namenode.http-address 0.0.0.0:9870
    property dfs.namenode.name.dir file:///data/hdfs/name
    property dfs.datanode.data.dir file:///data/hdfs/data
    property dfs.datanode.address "0.0.0.0:$DATANODE_PORT"
    property dfs.datanode.http.address "0.0.0.0:$DATANODE_HTTP_PORT"
    property dfs.datanode.ipc.address 0.0.0.0:9867
    property dfs.datanode.hostname "$DATANODE_HOSTNAME"
    property dfs.client.use.datanode.hostname true
    property dfs.namenode.datanode.registration.ip-hostname-check false
    property dfs.namenode.safemode.extension 0
    property dfs.namenode.fs-limits.min-block-size 4096
    property dfs.blocksize 1048576
    # A dead DataNode is noticed within seconds, not after ten minutes.
    property dfs.heartbeat.interval 1
    property dfs.namenode.heartbeat.recheck-interval 500
    property dfs.namenode.redundancy.interval.seconds 1s
    # A DataNode that starts first, or outlives the NameNode, must find it again soon.
    property ipc.client.connect.max.retries.on.timeouts 3
    property dfs.datanode.cached-dfsused.check.interval.ms 0
    echo '</configuration>'
} >"$conf/hdfs-site.xml"

hadoop() {
    # Word splitting of JAVA_OPTIONS is wanted.
    # shellcheck disable=SC2086
    "$@" java $JAVA_OPTIONS -cp "$conf:/opt/hadoop:/opt/hadoop/lib/*" "$main" \
        -conf "$conf/core-site.xml" -conf "$conf/hdfs-site.xml" $arguments
}

case $role in
namenode)
    main=org.apache.hadoop.hdfs.server.namenode.NameNode
    if [ ! -e /data/hdfs/name/current/VERSION ]; then
        arguments='-format -nonInteractive' hadoop env
    fi
    arguments='' hadoop exec
    ;;
datanode)
    main=org.apache.hadoop.hdfs.server.datanode.DataNode
    arguments='' hadoop exec
    ;;
*)
    echo "entrypoint.sh: '$role' is neither namenode nor datanode" >&2
    exit 2
    ;;
esac
