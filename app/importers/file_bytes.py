"""A file's bytes, unpacked where they are gzip, and its lines, whatever ends them; flat in memory at any size.

A line that is longer than any record may be is skipped as it is read, so that a file without line ends, or one with
a record of 100 MB, costs no memory. What a damaged gzip file still gives up to its damage is given.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.errors import InvalidError

CHUNK_BYTES: Final = 256 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS


class DamagedFileError(InvalidError):
    """A file's packing is broken; what stood before that was given."""


class FileBytes:
    """One file, read from its beginning to its end; `read_fraction` tells how far that is."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._read = 0
        self._is_gzip = self._file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        self._file.seek(0)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()

    @property
    def read_fraction(self) -> float:
        """How much of the file is read, 0 to 1."""
        return min(1.0, self._read / self._size) if self._size else 1.0

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the unpacked bytes behind the offset, piece by piece.

        Raises:
            DamagedFileError: The file is gzip and broken.
        """
        if not self._is_gzip:
            self._file.seek(offset)
            self._read = offset
            yield from self._packed()
            return
        for chunk in self._unpacked():
            # There is no way into the middle of a gzip file but from its beginning.
            if offset >= len(chunk):
                offset -= len(chunk)
            else:
                yield chunk[offset:]
                offset = 0

    def _packed(self) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK_BYTES):
            self._read += len(chunk)
            yield chunk

    def _unpacked(self) -> Iterator[bytes]:
        member = zlib.decompressobj(_GZIP)
        for packed in self._packed():
            rest = packed
            while rest:
                if member.eof:
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    member = zlib.decompressobj(_GZIP)
                before = member.copy()
                try:
                    chunk = member.decompress(rest, CHUNK_BYTES)
                except zlib.error as error:
                    yield _salvaged(before, rest)
                    msg = f"the gzip file is damaged near its byte {self._read:,}"
                    raise DamagedFileError(msg) from error
                rest = member.unused_data if member.eof else member.unconsumed_tail
                if chunk:
                    yield chunk
        if not member.eof:
            raise DamagedFileError("the gzip file ends too early: it was cut off")


def _salvaged(member: zlib._Decompress, packed: bytes) -> bytes:
    """Return what can be unpacked before the damage: a failed call keeps what it had unpacked to itself."""
    found = bytearray()
    try:
        for start in range(len(packed)):
            found += member.decompress(packed[start : start + 1])
    except zlib.error:
        pass
    return bytes(found)


def lines(chunks: Iterator[bytes], offset: int = 0) -> Iterator[tuple[int, bytes | None]]:
    r"""Yield (offset behind it, line) for each line without its end; None for one that is too long to be kept.

    A line ends with \n, \r\n or \r. The last one needs no end; but where the chunks end with an error, what stands
    behind the last line's end is half a line, and is not given.
    """
    kept, skipped = b"", 0
    for chunk in chunks:
        parts = (kept + chunk).splitlines(keepends=True)
        # A line feed that belongs to the last carriage return may come with the next chunk.
        kept = parts.pop() if parts and not parts[-1].endswith(b"\n") else b""
        for part in parts:
            offset += skipped + len(part)
            yield offset, None if skipped else part.rstrip(b"\r\n")
            skipped = 0
        if len(kept) > MAX_LINE_BYTES and not kept.endswith(b"\r"):
            skipped += len(kept)
            kept = b""
    if kept or skipped:
        yield offset + skipped + len(kept), None if skipped else kept.rstrip(b"\r\n")
