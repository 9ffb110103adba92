#!/bin/sh
# One real Kafka 4.1.1 broker (KRaft, no container) in the foreground; needs Java 17+ and, the first time, Maven.
#   deploy/broker/broker.sh [PORT [FOLDER]]     default: 127.0.0.1:9092, deploy/broker/data
#   deploy/broker/broker.sh fetch               only fetches the jars
# Stop it with Ctrl-C. The folder keeps the topics; remove it for a fresh broker.
#   DHPE_BROKER_PROPERTIES  a file of further properties, which win: listeners with TLS and SASL
#   DHPE_BROKER_SCRAM       users of a fresh broker, such as 'SCRAM-SHA-512=[name=dhpe,password=secret]', one a line
# Several make a cluster: each with its DHPE_BROKER_NODE, all with the same DHPE_BROKER_VOTERS and DHPE_BROKER_CLUSTER.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
port=${1:-9092}
folder=${2:-$here/data}
heap=${DHPE_BROKER_HEAP:-1g}
library=$here/lib

fail() {
    echo "broker: $1" >&2
    exit 1
}

command -v java >/dev/null || fail "no Java on this machine: install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"

if [ ! -f "$library/complete" ]; then
    command -v mvn >/dev/null || fail "the jars of the broker are fetched by Maven, and there is none: apt-get install maven"
    echo "broker: fetching the jars of Kafka 4.1.1 (43 MB, once)" >&2
    mvn --quiet --batch-mode --file "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$library" >&2 ||
        fail "Maven could not fetch the jars named in $here/pom.xml"
    touch "$library/complete"
fi
[ "$port" != fetch ] || exit 0

controller_port=${DHPE_BROKER_CONTROLLER_PORT:-$((port + 1))}
node=${DHPE_BROKER_NODE:-1}
voters=${DHPE_BROKER_VOTERS:-$node@127.0.0.1:$controller_port}
replicas=$(echo "$voters" | tr ',' '\n' | grep -c @)
in_sync=$(((replicas + 1) / 2))

mkdir -p "$folder"
cat >"$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/log
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=4
PROPERTIES
[ -z "${DHPE_BROKER_PROPERTIES:-}" ] || cat "$DHPE_BROKER_PROPERTIES" >>"$folder/server.properties"
cat >"$folder/log4j2.properties" <<'PROPERTIES'
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
PROPERTIES

if [ ! -f "$folder/log/meta.properties" ]; then
    cluster=${DHPE_BROKER_CLUSTER:-$(java -Xmx128m -cp "$library/*" kafka.tools.StorageTool random-uuid 2>/dev/null)}
    set -- -t "$cluster" -c "$folder/server.properties"
    for user in ${DHPE_BROKER_SCRAM:-}; do
        set -- "$@" --add-scram "$user"
    done
    java -Xmx128m -cp "$library/*" kafka.tools.StorageTool format "$@" >&2
fi

echo "broker: Kafka 4.1.1 on 127.0.0.1:$port, data in $folder" >&2
exec java "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    "-Dlog4j2.configurationFile=$folder/log4j2.properties" -cp "$library/*" kafka.Kafka "$folder/server.properties"
