"""Opening what a user names: compressed or not, and one line of error where it cannot be read."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final, cast

GZIP_MAGIC: Final = b"\x1f\x8b"


class InputError(ValueError):
    """An input that cannot be read as a whole: one line that says what, where and how to mend it."""


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The bytes of a file, decompressed where its content is gzip.

    Raises:
        InputError: the file is missing, may not be read, or its gzip stream is broken.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == GZIP_MAGIC:
                # GzipFile has all that is used of a buffered reader.
                yield cast("BufferedReader", gzip.GzipFile(fileobj=raw))
            else:
                yield raw
    except OSError as error:  # also gzip.BadGzipFile
        raise unreadable(path, error) from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: the gzip stream is broken: {error}; fetch the file again") from error


def unreadable(path: Path, error: OSError) -> InputError:
    """The one line for a file that the operating system does not give."""
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{path}: {reason}; name a file or folder that can be read")
