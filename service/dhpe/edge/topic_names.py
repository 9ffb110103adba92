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
"""Kept of topic field in the embedded log, which keeps it by bytes alone."""


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


def ages_s(settings: Settings) -> dict[str, float]:
    """How old the records of a topic may become; the embedded log keeps the others by their bytes."""
    names = TopicNames.of(settings)
    inputs = (names.chain, names.ticks, names.pressure, names.journal, names.chain_dead, names.ticks_dead)
    return dict.fromkeys(inputs, settings.inputs_retention_s) | {names.alerts: settings.alerts_retention_s}
