"""Numbers as people write them, in windows that go on where they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidError
from app.importers.records import ParsedRecord
from app.importers.windows import MAX_RANGES, Numbers


@pytest.mark.parametrize(
    ("words", "prefix", "expected"),
    [
        ("1-1000,2244", "", "1-1000,2244"),
        (" 5 - 7 ; 1\n2,", "", "1,2,5-7"),
        ("1-5,3-9,9", "", "1-9"),
        ("CHEMBL1-CHEMBL1000,chembl25", "CHEMBL", "1-1000"),
        ("25,CHEMBL26", "CHEMBL", "25,26"),
    ],
)
def test_numbers_are_read_and_written(words: str, prefix: str, expected: str) -> None:
    assert str(Numbers.parse(words, prefix)) == expected


@pytest.mark.parametrize(
    "words", ["", "0", "-1", "1-", "9-1", "1.5", "CHEMBL1", "x", "1 2", "1-2-3", "1" * 13, "٣", "1-1000000000000,x"]
)
def test_what_is_no_number_is_refused(words: str) -> None:
    with pytest.raises(InvalidError):
        Numbers.parse(words)


def test_more_ranges_than_a_run_can_keep_are_refused() -> None:
    with pytest.raises(InvalidError, match="separate ranges"):
        Numbers.of(range(1, 2 * MAX_RANGES + 3, 2))


def test_a_long_range_is_not_laid_out() -> None:
    numbers = Numbers.parse("1-170000000")

    assert len(numbers) == 170_000_000
    assert next(numbers.windows(2, after=150_000_000)) == [150_000_001, 150_000_002]


def test_what_stands_alone_is_named_and_what_is_in_a_range_is_not() -> None:
    numbers = Numbers.parse("1-10,25,26")

    assert [numbers.is_named(number) for number in (1, 10, 25, 26, 11, 27)] == [False, False, True, True, False, False]


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 20)), min_size=1, max_size=10),
    st.integers(1, 30),
    st.integers(0, 10),
)
def test_pages_go_on_behind_any_checkpoint(ranges: list[tuple[int, int]], size: int, stop: int) -> None:
    numbers = Numbers.of_ranges((first, first + length) for first, length in ranges)
    expected = sorted({number for first, length in ranges for number in range(first, first + length + 1)})
    assert len(numbers) == len(expected)

    def read(window: object) -> list[ParsedRecord]:
        return [ParsedRecord(number, "", None, None, None, None) for number in window]  # type: ignore[attr-defined]

    whole = list(numbers.pages(None, size, read, release="1"))
    assert [record.index for page in whole for record in page.records] == expected
    assert whole[-1].done_fraction == 1.0
    assert all(page.checkpoint["release"] == "1" for page in whole)

    kept = whole[min(stop, len(whole) - 1)]
    rest = list(numbers.pages(kept.checkpoint, size, read))
    seen = [record.index for page in rest for record in page.records]
    assert seen == [number for number in expected if number > kept.checkpoint["after"]]
    assert not rest or rest[-1].done_fraction == 1.0
