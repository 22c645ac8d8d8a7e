"""Records that are asked for by number, window by window: "1-1000,2244" without a list of them all."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.errors import InvalidError
from app.importers.records import ParsedRecord
from app.importers.sources import Page

MAX_RANGES: Final = 200_000
_LARGEST: Final = 10**12


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers from 1, each once and in their order, as ranges."""

    ranges: tuple[tuple[int, int], ...]
    """First and last of each, ascending; none overlaps another."""

    @classmethod
    def parse(cls, words: str, prefix: str = "") -> Numbers:
        """Return the numbers of a text such as `1-1000,2244`; each may carry the prefix.

        Raises:
            InvalidError: It is no such text.
        """
        pattern = re.compile(
            rf"(?:{prefix})?([1-9]\d{{0,11}})(?:\s*-\s*(?:{prefix})?([1-9]\d{{0,11}}))?", re.IGNORECASE
        )
        found = []
        for part in re.split(r"[\s,;]*[,;\n][\s,;]*", words.strip(" \t\r\n,;")):
            match = pattern.fullmatch(part.strip())
            if match is None:
                msg = f"these are no numbers: {part[:50]!r}; give them as {prefix}1-{prefix}1000,{prefix}2244"
                raise InvalidError(msg)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                msg = f"the range {part[:50]} ends before it begins"
                raise InvalidError(msg)
            found.append((first, last))
        return cls.of_ranges(found)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Numbers:
        """Return the numbers of a list."""
        return cls.of_ranges((number, number) for number in numbers)

    @classmethod
    def of_ranges(cls, ranges: Iterable[tuple[int, int]]) -> Numbers:
        """Return the numbers of ranges that may overlap.

        Raises:
            InvalidError: There are too many.
        """
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        if len(merged) > MAX_RANGES or (merged and merged[-1][1] > _LARGEST):
            msg = f"an import takes up to {MAX_RANGES:,} separate ranges; give it in parts, or import a file"
            raise InvalidError(msg)
        return cls(tuple(merged))

    def __len__(self) -> int:
        """How many there are."""
        return sum(last - first + 1 for first, last in self.ranges)

    def __str__(self) -> str:
        """Return the text that gives them."""
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)

    def is_named(self, number: int) -> bool:
        """Return whether a number stands by itself, and not in a range."""
        position = bisect_right(self.ranges, (number, _LARGEST + 1)) - 1
        return position >= 0 and self.ranges[position] == (number, number)

    def windows(self, size: int, after: int) -> Iterator[list[int]]:
        """Yield those above `after`, up to `size` at a time."""
        window: list[int] = []
        for first, last in self.ranges:
            for number in range(max(first, after + 1), last + 1):
                window.append(number)
                if len(window) == size:
                    yield window
                    window = []
        if window:
            yield window

    def pages(
        self,
        checkpoint: Mapping[str, Any] | None,
        size: int,
        read: Callable[[Sequence[int]], list[ParsedRecord]],
        **kept: str,
    ) -> Iterator[Page]:
        """Yield a page for each window behind the checkpoint; `kept` goes into all checkpoints."""
        after = int(checkpoint["after"]) if checkpoint else 0
        total = len(self)
        done = self._up_to(after)
        for window in self.windows(size, after):
            done += len(window)
            yield Page(read(window), {"after": window[-1], **kept}, done / total)

    def _up_to(self, number: int) -> int:
        return sum(min(last, number) - first + 1 for first, last in self.ranges if first <= number)
