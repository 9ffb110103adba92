"""In what order the two input topics were applied: what a restart needs besides the topics themselves.

Across ``chain`` and ``ticks`` the log has no order, so the worker writes one down: each step that applied chain
records leaves an entry, in the same commit as its outputs. Between the entries the order is that of the partition.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, NamedTuple

import msgspec


class JournalEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step: the chain records ``chain_from`` to before ``chain_to`` came before the tick at ``ticks_at``.

    ``settings`` is the digest of the parameters in force. ``lost`` marks a step that began after a loss of records
    that the operator has accepted (``on_data_loss``). Where another program or other parameters begin to work than
    before, the first entry tells both: outputs from its positions on are those of ``engine_version``.
    """

    chain_from: int
    chain_to: int
    ticks_at: int
    settings: str
    lost: bool = False
    engine_version: str | None = None
    parameters: dict[str, Any] | None = None


class Positions(NamedTuple):
    """The next offset of both inputs."""

    chain: int
    ticks: int


class Leg(NamedTuple):
    """A stretch of one input topic: everything before ``end`` that was not applied yet."""

    of_chain: bool
    end: int


encode_entry = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(JournalEntry).decode


async def legs(entries: AsyncIterable[JournalEntry], begin: Positions, committed: Positions) -> AsyncIterator[Leg]:
    """The stretches that bring a state from ``begin`` to ``committed`` in the order of the ``entries``."""
    chain, ticks = begin
    waiting = chain  # chain records up to here come next; entries without ticks between them make one leg
    async for entry in entries:
        # what the journal no longer tells of stood before its first entry
        waiting = max(waiting, min(entry.chain_from, committed.chain))
        ticks_at = min(entry.ticks_at, committed.ticks)
        if ticks_at > ticks:
            if waiting > chain:
                yield Leg(of_chain=True, end=waiting)
                chain = waiting
            yield Leg(of_chain=False, end=ticks_at)
            ticks = ticks_at
        waiting = max(waiting, min(entry.chain_to, committed.chain))
    if committed.chain > chain:
        yield Leg(of_chain=True, end=committed.chain)
    if committed.ticks > ticks:
        yield Leg(of_chain=False, end=committed.ticks)
