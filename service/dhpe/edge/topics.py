"""The topics on Kafka: their names, their settings, made by ``dhpe topics`` and checked against the cluster.

Every topic has the log's own append time as its timestamp: with the producer's, records of an old day would be
deleted by retention within minutes, and stamps of tomorrow refused. All have the same number of partitions, fixed
when they are made, because partition n of the inputs writes to partition n of the outputs.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from dhpe.edge.kafka_clients import DEAD_LETTER_ROOM, connect, connection, unavailable
from dhpe.edge.log import LogError
from dhpe.edge.topic_names import MANIFEST_BYTES_MAX, TopicNames, ages_s
from dhpe.settings import Settings, variable

MESSAGE_BYTES: Final = 1_048_576
"""Of the topics that only we write."""
BATCH_ROOM: Final = 4_096
"""What a record batch adds around the largest message."""
PAUSE_S: Final = 0.05
STATE_SEGMENTS: Final = 8
"""Retention deletes whole segments, so what is kept of a topic by size is cut into so many."""
SEGMENT_BYTES_MAX: Final = 1 << 30
SEGMENT_BYTES_MIN: Final = 1 << 20
"""Kafka takes no smaller ones."""
FIELD_SEGMENTS: Final = 4


class Topic(NamedTuple):
    """A topic as it must be."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


def topics_for(settings: Settings) -> list[Topic]:
    """All topics with their settings."""
    names = TopicNames.of(settings)
    input_bytes = str(settings.message_bytes_max + BATCH_ROOM)
    dead_bytes = str(settings.message_bytes_max + BATCH_ROOM + DEAD_LETTER_ROOM)
    deleted = {"cleanup.policy": "delete"}
    compacted = {"cleanup.policy": "compact,delete"}
    configs = {
        names.chain: deleted | {"max.message.bytes": input_bytes},
        names.ticks: deleted | {"max.message.bytes": input_bytes},
        names.pressure: compacted,
        names.alerts: deleted,
        names.journal: deleted,
        names.chain_dead: deleted | {"max.message.bytes": dead_bytes},
        names.ticks_dead: deleted | {"max.message.bytes": dead_bytes},
        names.state: _by_size(settings.state_bytes_max),
        names.manifest: _by_size(MANIFEST_BYTES_MAX),
        # An old field tells nobody anything: the log rolls often enough to drop it.
        names.field: compacted
        | {
            "retention.ms": _ms(settings.field_retention_s),
            "segment.ms": _ms(settings.field_retention_s / FIELD_SEGMENTS),
        },
    }
    for name, age_s in ages_s(settings).items():
        configs[name] = configs[name] | {"retention.ms": _ms(age_s)}
    common = {"message.timestamp.type": "LogAppendTime"}
    return [
        Topic(name, settings.topic_partitions, settings.topic_replication_factor, {**common, **config})
        for name, config in configs.items()
    ]


async def create_topics(settings: Settings) -> list[str]:
    """Make the topics that are missing and return their names; those that stand are left as they are.

    Raises:
        LogError: the cluster does not answer or refuses a topic.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await connect(admin, settings, admin.close)
    created = []
    try:
        wanted = [
            NewTopic(t.name, t.partitions, t.replication_factor, topic_configs=t.config) for t in topics_for(settings)
        ]
        response = await admin.create_topics(wanted)
        for name, code, *detail in response.topic_errors:
            error = for_code(code)
            if code == 0:
                created.append(name)
            elif error is not TopicAlreadyExistsError:
                raise LogError(f"topic {name}: {detail[0] if detail and detail[0] else error.__name__}")
        async with asyncio.timeout(settings.kafka_request_timeout_s):
            while not await _led(admin, [topic.name for topic in topics_for(settings)]):  # noqa: ASYNC110 - no event
                await asyncio.sleep(PAUSE_S)
    except TimeoutError as error:
        raise LogError("the topics were made, but not every partition has a leader: look at the brokers") from error
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    return created


async def _led(admin: AIOKafkaAdminClient, names: list[str]) -> bool:
    """Whether the brokers know every topic by now, and each partition has a leader."""
    found = await admin.describe_topics(names)
    return all(
        one["error_code"] == 0 and one["partitions"] and all(part["leader"] >= 0 for part in one["partitions"])
        for one in found
    )


async def check_topics(settings: Settings) -> list[str]:
    """Compare the cluster's topics with what they must be: one sentence a fault, with the remedy."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await connect(admin, settings, admin.close)
    try:
        existing = set(await admin.list_topics())
        present = [topic for topic in topics_for(settings) if topic.name in existing]
        found = {one["topic"]: one for one in await admin.describe_topics([topic.name for topic in present])}
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in present]
        responses = await admin.describe_configs(asked) if asked else []
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    configs = {row[3]: {c[0]: c[1] for c in row[4]} for response in responses for row in response.resources}
    faults = []
    for topic in topics_for(settings):
        if topic.name not in existing:
            faults.append(f"topic {topic.name}: does not exist; make it with `dhpe topics`")
        else:
            faults += _differences(topic, found[topic.name], configs.get(topic.name, {}))
    return faults


def _differences(topic: Topic, found: Mapping[str, Any], config: Mapping[str, str]) -> list[str]:
    faults = []
    count = len(found["partitions"])
    if count != topic.partitions:
        faults.append(
            f"topic {topic.name}: has {count} partitions, {variable('topic_partitions')} is {topic.partitions}; "
            "the count is fixed when the topics are made: set the variable to it, or remake all topics"
        )
    for name, value in topic.config.items():
        actual = config.get(name)
        if actual is not None and set(actual.split(",")) != set(value.split(",")):
            faults.append(
                f"topic {topic.name}: {name} is {actual}, not {value}; "
                f"mend it with kafka-configs.sh --alter --topic {topic.name} --add-config '{name}={value}'"
            )
    return faults


def _by_size(bytes_max: int) -> dict[str, str]:
    """Kept whatever its age: an input may rest for longer than its own retention, and its state must not go."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": str(bytes_max),
        "segment.bytes": str(max(SEGMENT_BYTES_MIN, min(bytes_max // STATE_SEGMENTS, SEGMENT_BYTES_MAX))),
        "max.message.bytes": str(MESSAGE_BYTES + BATCH_ROOM),
    }


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
