"""Large bodies, piece by piece."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from app.errors import MalformedError
from app.importers.chunks import MAX_DEPTH, RECORDS_PER_CHUNK, chunks


def _chunks(body: object) -> list[tuple[int, object]]:
    return list(chunks(io.BytesIO(json.dumps(body).encode())))


@pytest.mark.parametrize(
    ("envelope", "unwrap"),
    [
        (lambda rows: {"page_meta": {"limit": 1}, "molecules": rows}, lambda chunk: chunk["molecules"]),
        (lambda rows: {"PropertyTable": {"Properties": rows}}, lambda chunk: chunk["PropertyTable"]["Properties"]),
        (lambda rows: {"PC_Compounds": rows}, lambda chunk: chunk["PC_Compounds"]),
        (lambda rows: rows, lambda chunk: chunk),
    ],
)
def test_a_long_array_comes_in_pieces_with_the_index_of_each_first_record(envelope: Any, unwrap: Any) -> None:
    rows = [{"n": number} for number in range(2 * RECORDS_PER_CHUNK + 5)]

    found = _chunks(envelope(rows))

    assert [first for first, _ in found] == [0, RECORDS_PER_CHUNK, 2 * RECORDS_PER_CHUNK]
    assert [row for _, chunk in found for row in unwrap(chunk)] == rows


@pytest.mark.parametrize(
    "body", [{"Record": {"Section": [1, {"a": [2]}]}}, {"molecule_chembl_id": "CHEMBL25"}, {}, [], 5]
)
def test_a_body_without_a_long_array_comes_whole(body: object) -> None:
    assert _chunks(body) == [(0, body)]


@pytest.mark.parametrize("body", [b"{", b"[1,", b'{"a" 1}', b"nonsense", b"", b"[1] [2]", b"\xff", b"[NaN]"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        list(chunks(io.BytesIO(body)))


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_nests_deep_is_refused_before_it_takes_memory(opening: bytes) -> None:
    with pytest.raises(MalformedError, match=f"deeper than {MAX_DEPTH}"):
        list(chunks(io.BytesIO(opening * 1_000_000)))
