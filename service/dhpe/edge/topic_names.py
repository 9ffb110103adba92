"""The names of the topics, the same on Kafka and in the embedded log."""

from typing import Final, NamedTuple, Self

from dhpe.settings import Settings

PLAIN_NAMES: Final = (
    "chain",
    "ticks",
    "pressure",
    "alerts",
    "journal",
    "chain.dlt",
    "ticks.dlt",
    "state",
    "manifest",
    "field",
)


MANIFEST_BYTES_MAX: Final = 64 << 20
"""Kept of topic manifest in each partition."""
FIELD_BYTES_KEPT: Final = 64 << 20
"""Kept of topic field in the embedded log, which knows no time of retention."""


class TopicNames(NamedTuple):
    """The names under the operator's ``topic_prefix``."""

    chain: str
    ticks: str
    pressure: str
    alerts: str
    journal: str
    chain_dead: str
    ticks_dead: str
    state: str
    manifest: str
    field: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The names that ``settings`` give."""
        return cls(*(settings.topic_prefix + name for name in PLAIN_NAMES))
