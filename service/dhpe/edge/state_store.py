"""States in the log: chunks in ``state``, and one record in ``manifest`` that makes them a state.

The manifest is written last, so a state without one was never finished. Chunks are found by their offsets and proved
by their CRCs, so those of another writer may lie between them. A state is only ever written of committed positions;
whether it can be used is for whoever reads it to find out, and to say.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import cramjam
import msgspec

from dhpe.edge.journal import Positions
from dhpe.edge.log import Log, LogError, OutRecord, Span
from dhpe.edge.spans import newest_first, read_span
from dhpe.edge.steps import StepperState
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import variable
from dhpe.snapshot_bytes import Frozen, StateRefused, decode, encode

CHUNK_BYTES: Final = 900_000
WINDOW: Final = 64
WINDOW_MAX: Final = 1024
"""Manifests read at once, from the end of the topic backwards: a restart needs the last, a question an older one."""
BYTES_SETTING: Final = variable("state_bytes_max")
_LEVEL: Final = 1


class Chunk(msgspec.Struct, frozen=True):
    """A record of ``state``."""

    offset: int
    crc32: int
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the chunks are. ``chain`` and ``ticks`` are the next offsets of the inputs: all before them is applied.

    The journal's entries that follow the state stand at ``journal`` or later. ``crc32`` is that of the whole state,
    decompressed. ``pressures`` are the last outputs, null where they would not fit into the record.
    """

    partition: int
    partitions: int
    chain: int
    ticks: int
    journal: int
    engine_version: str
    settings: str
    degraded: bool
    compression: str
    chunks: list[Chunk]
    size_bytes: int
    crc32: int
    pressures: dict[str, msgspec.Raw] | None = None

    @property
    def positions(self) -> Positions:
        """Where the state stands."""
        return Positions(self.chain, self.ticks)


class Standing(NamedTuple):
    """Where a state stands, and whose it is: what the writer knows of it besides its bits."""

    positions: Positions
    journal: int
    partitions: int
    engine_version: str
    settings: str


class Found(NamedTuple):
    """A record of ``manifest``; None where it cannot be read."""

    offset: int
    manifest: Manifest | None


_encode_manifest = msgspec.json.Encoder().encode
_decode_manifest = msgspec.json.Decoder(Manifest).decode


class StateStore:
    """The states of one partition."""

    def __init__(self, log: Log, names: TopicNames, partition: int, message_bytes_max: int) -> None:
        self._log = log
        self._names = names
        self._partition = partition
        self._chunk_bytes = min(CHUNK_BYTES, message_bytes_max)

    async def write(self, state: StepperState, standing: Standing) -> int:
        """Write chunks, then the manifest; return the bytes of the state as it lies in the log.

        Raises:
            LogError: the log did not take all of it, so there is no such state.
        """
        pieces, whole_crc32 = await asyncio.to_thread(self._packed, state.engine)
        topic, number = self._names.state, self._partition
        offsets = [(await self._log.append([OutRecord(topic, None, piece, (), number)]))[0] for piece in pieces]
        if min(offsets) < 0:
            raise LogError(f"topic {topic}, partition {number}: a chunk was written, and its offset is not known")
        if offsets[0] < (await self._log.span((topic, number))).begin:
            size = sum(map(len, pieces))
            raise LogError(
                f"topic {topic}, partition {number}: a state of {size} bytes does not fit; raise {BYTES_SETTING}"
            )
        pressures = {name: msgspec.Raw(value) for name, value in state.pressures.items()}
        manifest = Manifest(
            partition=number,
            partitions=standing.partitions,
            chain=standing.positions.chain,
            ticks=standing.positions.ticks,
            journal=standing.journal,
            engine_version=standing.engine_version,
            settings=standing.settings,
            degraded=state.degraded,
            compression="zstd",
            chunks=[Chunk(o, zlib.crc32(piece), len(piece)) for o, piece in zip(offsets, pieces, strict=True)],
            size_bytes=sum(map(len, pieces)),
            crc32=whole_crc32,
            pressures=pressures if sum(map(len, state.pressures.values())) < self._chunk_bytes // 2 else None,
        )
        await self._log.append([OutRecord(self._names.manifest, None, _encode_manifest(manifest), (), number)])
        return manifest.size_bytes

    async def manifests(self) -> AsyncIterator[Found]:
        """All manifests that the log still has, the newest first."""
        place = (self._names.manifest, self._partition)
        async for record in newest_first(self._log, place, WINDOW, WINDOW_MAX):
            try:
                yield Found(record.offset, _decode_manifest(record.value or b""))
            except msgspec.MsgspecError:
                yield Found(record.offset, None)

    async def load(self, manifest: Manifest) -> StepperState:
        """Read a state.

        Raises:
            StateRefused: it is not whole, or not what was written.
        """
        if manifest.compression != "zstd" or not manifest.chunks:
            raise StateRefused("its manifest is of another program")
        place = (self._names.state, self._partition)
        first, last = manifest.chunks[0].offset, manifest.chunks[-1].offset
        begin, end = await self._log.span(place)
        if first < begin:
            raise StateRefused("its chunks were deleted by retention")
        if last >= end:
            raise StateRefused("its chunks are not in the log")
        records = await read_span(self._log, place, Span(first, last + 1))
        found = {record.offset: record.value or b"" for record in records}
        engine = await asyncio.to_thread(_unpacked, manifest, found)
        pressures = {name: bytes(value) for name, value in (manifest.pressures or {}).items()}
        return StepperState(engine, manifest.degraded, pressures)

    def _packed(self, frozen: Frozen) -> tuple[Sequence[bytes], int]:
        whole = encode(frozen)
        packed = bytes(cramjam.zstd.compress(whole, level=_LEVEL))
        size = self._chunk_bytes
        return [packed[start : start + size] for start in range(0, len(packed), size)], zlib.crc32(whole)


def _unpacked(manifest: Manifest, found: dict[int, bytes]) -> Frozen:
    for chunk in manifest.chunks:
        content = found.get(chunk.offset)
        if content is None:
            raise StateRefused(f"its chunk at offset {chunk.offset} is missing")
        if len(content) != chunk.size_bytes or zlib.crc32(content) != chunk.crc32:
            raise StateRefused(f"its chunk at offset {chunk.offset} has another CRC")
    try:
        whole = bytes(cramjam.zstd.decompress(b"".join(found[chunk.offset] for chunk in manifest.chunks)))
    except cramjam.DecompressionError as error:
        raise StateRefused(f"it cannot be decompressed: {error}") from error
    if zlib.crc32(whole) != manifest.crc32:
        raise StateRefused("it has another CRC as a whole")
    return decode(whole)
