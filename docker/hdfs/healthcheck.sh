#!/bin/sh
# Does the daemon's real work: the NameNode changes its namespace (which safe mode refuses), the
# DataNode takes a block and gives it back.
set -eu
# One check at a time: a check by hand beside the engine's would delete the file of this one.
exec 9<"$0"
flock 9
web=http://namenode:9870/webhdfs/v1
query='user.name=health'
ask() { curl --silent --show-error --fail --max-time 8 --noproxy '*' "$@"; }

case $(cat /tmp/hadoop-role) in
namenode)
    # Removed at once, so that other programs hardly ever see the folder in the root.
    folder=/.health-namenode
    ask -X PUT "$web$folder?op=MKDIRS&$query" | grep -q true
    ask -X DELETE "$web$folder?op=DELETE&recursive=true&$query" | grep -q true
    ;;
datanode)
    file=/.health-datanode
    text=$(date +%s)
    # The NameNode sends curl to DATANODE_HOSTNAME, which is this container.
    ask -L -X PUT --data-binary "$text" "$web$file?op=CREATE&overwrite=true&$query"
    got=$(ask -L "$web$file?op=OPEN&$query")
    ask -X DELETE "$web$file?op=DELETE&$query" >/dev/null
    [ "$got" = "$text" ]
    ;;
esac
