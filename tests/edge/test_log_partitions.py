"""Keys go where every Kafka client puts them."""

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as oracle

from dhpe.edge.log import murmur2, partition_of

SEED = 11


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # org.apache.kafka.common.utils.UtilsTest.testMurmur2 of Kafka 4.1, as unsigned words
        (b"21", -973932308 & 0xFFFFFFFF),
        (b"foobar", -790332482 & 0xFFFFFFFF),
        (b"a-little-bit-long-string", -985981536 & 0xFFFFFFFF),
        (b"a-little-bit-longer-string", -1486304829 & 0xFFFFFFFF),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 & 0xFFFFFFFF),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_golden_numbers_of_kafka(key: bytes, expected: int) -> None:
    """The hash is that of the Java client."""
    assert murmur2(key) == expected


def test_partitions_are_those_of_another_client() -> None:
    """Random keys of every length up to 40 bytes stand on the partition that aiokafka's own partitioner names."""
    generator = random.Random(SEED)
    partitioner = DefaultPartitioner()
    for length in range(41):
        key = generator.randbytes(length)
        assert murmur2(key) == oracle(key)
        for count in (1, 2, 12, 100):
            everyone = list(range(count))
            assert partition_of(key, count) == partitioner(key, everyone, everyone)
