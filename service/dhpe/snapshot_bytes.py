"""A frozen state as bytes: what it looks like on disk and on the wire, and how it is read back with suspicion.

    magic (8) | length of the header, u32 | header, MessagePack | the arrays' bytes, one after the other

The header names the format, the dtypes (with every offset, so that a row with another layout is noticed), shape and
kept part of each array, and the tree of plain values in which ``["array", n]`` stands for the n-th of them.
Everything is little-endian. There is no code in it: reading never runs anything.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

MAGIC: Final = b"dhpe\x00st\n"
FORMAT: Final = 1
_LENGTH_BYTES: Final = 4


class StateRefused(ValueError):  # noqa: N818 - a verdict on what was read
    """A stored state that cannot be used here; the message says why in half a sentence."""


class StoredArray(NamedTuple):
    """An array whose rows beyond ``kept`` are zeros: only the corner of that shape is in ``content``."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    kept: tuple[int, ...]
    content: bytes | memoryview


class Frozen(NamedTuple):
    """Plain values (see ``snapshot``) and the arrays that they mention by number."""

    tree: Any
    arrays: Sequence[StoredArray]


class _Array(msgspec.Struct, array_like=True, frozen=True):
    dtype: int
    shape: tuple[int, ...]
    kept: tuple[int, ...]


class _Format(msgspec.Struct, frozen=True):
    format: int


class _Header(_Format, frozen=True):
    dtypes: list[Any]
    arrays: list[_Array]
    tree: Any


_encode = msgspec.msgpack.Encoder().encode
_decode_format = msgspec.msgpack.Decoder(_Format).decode
_decode = msgspec.msgpack.Decoder(_Header).decode


def encode(frozen: Frozen) -> bytes:
    """The bytes of a frozen state."""
    dtypes: dict[np.dtype[Any], int] = {}
    arrays = [_Array(dtypes.setdefault(a.dtype, len(dtypes)), a.shape, a.kept) for a in frozen.arrays]
    header = _encode(_Header(FORMAT, [_described(dtype) for dtype in dtypes], arrays, frozen.tree))
    return b"".join([MAGIC, len(header).to_bytes(_LENGTH_BYTES, "little"), header, *(a.content for a in frozen.arrays)])


def decode(data: bytes) -> Frozen:
    """Read back what ``encode`` wrote; the arrays' contents are views of ``data``.

    Raises:
        StateRefused: the bytes are no such state, or one of another format.
    """
    start = len(MAGIC) + _LENGTH_BYTES
    if not data.startswith(MAGIC):
        raise StateRefused("it does not begin as a state does")
    end = start + int.from_bytes(data[len(MAGIC) : start], "little")
    try:
        found = _decode_format(data[start:end]).format
        if found != FORMAT:
            raise StateRefused(f"it is written in format {found}, this program reads {FORMAT}")
        header = _decode(data[start:end])
        content = memoryview(data)
        dtypes = [_dtype(described) for described in header.dtypes]
        arrays = []
        for array in header.arrays:
            dtype = dtypes[array.dtype]
            size = dtype.itemsize * _count(array.kept)
            if end + size > len(data):
                raise StateRefused("it is shorter than its header says")
            arrays.append(StoredArray(dtype, array.shape, array.kept, content[end : end + size]))
            end += size
    except (msgspec.MsgspecError, TypeError, ValueError, LookupError) as error:
        if isinstance(error, StateRefused):
            raise
        raise StateRefused(f"its header cannot be read: {error}") from error
    if end != len(data):
        raise StateRefused("it is longer than its header says")
    return Frozen(header.tree, arrays)


def stored(array: np.ndarray, kept: tuple[int, ...]) -> StoredArray:
    """Copy the corner ``kept`` of a contiguous ``array``, padding included."""
    if not array.flags.c_contiguous or array.dtype.hasobject:
        raise TypeError(f"an array of {array.dtype} in this layout cannot be stored")
    raw = array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    return StoredArray(array.dtype, array.shape, kept, raw[tuple(slice(n) for n in kept)].tobytes())


def restored(array: StoredArray) -> np.ndarray:
    """An array of our own with the stored rows, and zeros beyond them."""
    whole = np.zeros(array.shape, array.dtype)
    raw = whole.view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    corner = np.frombuffer(array.content, np.uint8).reshape(*array.kept, array.dtype.itemsize)
    raw[tuple(slice(n) for n in array.kept)] = corner
    return whole


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _described(dtype: np.dtype[Any]) -> Any:
    """A dtype as plain values. numpy's own description forgets whether the rows are aligned, which numba asks."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_described(base), list(shape)]
    if dtype.fields is None:
        return dtype.str
    names = list(dtype.names or ())
    return {
        "names": names,
        "formats": [_described(dtype.fields[name][0]) for name in names],
        "offsets": [dtype.fields[name][1] for name in names],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _dtype(described: Any) -> np.dtype[Any]:
    arguments = described
    if isinstance(described, dict):
        arguments = {**described, "formats": [_dtype(one) for one in described["formats"]]}
    elif isinstance(described, list):
        base, shape = described
        arguments = (_dtype(base), tuple(shape))
    dtype: np.dtype[Any] = np.dtype(arguments)
    if dtype.hasobject:
        raise StateRefused("it holds Python objects")
    return dtype
