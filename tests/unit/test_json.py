"""JSON out and in: one form for each kind of value, and nothing that is no JSON in either direction."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from api.common.json import JsonProvider, dumps, escape_pointer, iso8601, loads, unstorable
from app.errors import InvalidError, MalformedError
from tests.plugins.api import Api

IDENTIFIER = UUID("01a1fd90-c6df-7c5b-aca6-9a41feb067a3")
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]


class Outcome(StrEnum):
    """An enum of texts."""

    PASS = "pass"


class Level(IntEnum):
    """An enum of numbers."""

    FULL = 3


class Kind(Enum):
    """An enum that is neither."""

    POLYMER = "polymer"


# Out.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (IDENTIFIER, '"01a1fd90-c6df-7c5b-aca6-9a41feb067a3"'),
        (dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC), '"2026-01-31T12:00:00.000000Z"'),
        (dt.datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=dt.UTC), '"2026-01-31T12:00:00.000005Z"'),
        (dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))), '"2026-01-31T10:00:00.000000Z"'),
        (dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))), '"2025-12-31T10:00:00.000000Z"'),
        (dt.datetime(987, 6, 5, 4, 3, 2, 1, tzinfo=dt.UTC), '"0987-06-05T04:03:02.000001Z"'),
        (dt.date(2026, 1, 31), '"2026-01-31"'),
        (dt.time(12, 30), '"12:30:00"'),
        (Decimal("1.10"), "1.1"),
        (Decimal(3), "3.0"),
        (Outcome.PASS, '"pass"'),
        (Level.FULL, "3"),
        (Kind.POLYMER, '"polymer"'),
        (np.float64(1.5), "1.5"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.int8(-7), "-7"),
        (np.uint64(2**63), "9223372036854775808"),
        (np.bool_(True), "true"),  # noqa: FBT003
        (np.array([1.0, 2.0]), "[1.0,2.0]"),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        pytest.param(frozenset({"b", "a"}), '["a","b"]', id="a set, whose order is not its own"),
        (None, "null"),
        (True, "true"),
        ((1, 2), "[1,2]"),
        ({1: "x"}, '{"1":"x"}'),
        ({IDENTIFIER: 1}, f'{{"{IDENTIFIER}":1}}'),
        ('δ\u2028"\\\n', '"δ\u2028\\"\\\\\\n"'),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_every_kind_of_value_has_one_form(value: object, text: str):
    assert dumps(value).decode() == text
    assert dumps({"x": [value]}).decode() == f'{{"x":[{text}]}}'


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.float16, Decimal], ids=lambda kind: kind.__name__)
def test_what_is_not_finite_leaves_as_null(kind: Any, value: float):
    assert dumps([kind(value)]) == b"[null]"


@pytest.mark.parametrize("value", NOT_FINITE)
def test_what_is_not_finite_in_an_array_leaves_as_null(value: float):
    assert dumps(np.array([1.0, value])) == b"[1.0,null]"
    assert dumps({"deep": [{"er": (value,)}]}) == b'{"deep":[{"er":[null]}]}'


def test_a_decimal_beyond_all_floats_leaves_as_null():
    assert dumps(Decimal("1e400")) == b"null"


@pytest.mark.parametrize("value", [dt.datetime(2026, 1, 31), {"x": dt.datetime(2026, 1, 31)}])  # noqa: DTZ001
def test_a_time_without_a_zone_is_refused(value: object):
    with pytest.raises(TypeError):
        dumps(value)


@pytest.mark.parametrize("value", [object(), b"bytes", 1j, {"x": object()}, 2**64, "\ud800", lambda: 1])
def test_what_has_no_json_form_is_refused_and_not_guessed_at(value: object):
    with pytest.raises(TypeError):
        dumps(value)


@settings(deadline=None)
@given(st.datetimes(timezones=st.timezones()))
def test_a_time_means_the_same_moment_after_it_was_written(value: dt.datetime):
    try:
        text = iso8601(value)
    except OverflowError:
        assert value.year in {1, 9999}
        return

    assert len(text) == len("2026-01-31T12:00:00.000000Z")
    assert dt.datetime.fromisoformat(text).timestamp() == value.timestamp()


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_what_is_written_is_read_as_the_same(value: object):
    try:
        text = dumps(value)
    except TypeError:
        assert "\\ud" in json.dumps(value)
        return
    if "\\u0000" in text.decode():
        with pytest.raises(InvalidError):
            loads(text)
    else:
        assert loads(text) == value


@pytest.mark.parametrize(
    "moment",
    [
        "2026-01-31 12:00:00+00",
        "2026-01-31 12:00:00.1+02",
        "2026-01-31 12:00:00.000001-11:30",
        "1969-12-31 23:59:59.999999+00",
        "0001-01-02 00:00:00+00",
        "0987-06-05 04:03:02.1+00",
        "9999-12-30 23:59:59.999999+00",
    ],
)
def test_postgres_and_the_service_write_a_moment_alike(service: Api, admin: psycopg.Connection, moment: str):
    created = service.post("/molecules", {"name": "x", "smiles": "C"}).get_json()
    admin.execute("SET session_replication_role = replica")
    admin.execute("UPDATE molecules SET created_at = %s::timestamptz", (moment,))
    ((stored,),) = admin.execute("SELECT created_at FROM molecules").fetchall()

    shown = service.get(f"/molecules/{created['id']}").get_json()["created_at"]

    assert shown == json.loads(dumps(stored))


def test_postgres_and_the_service_write_other_values_alike(service: Api, admin: psycopg.Connection):
    created = service.post("/molecules", {"name": 'q"\\\n\t/δ\u2028🧊\x7f\x01', "smiles": "OCC(O)CO"}).get_json()
    row = admin.execute("SELECT id, name, molar_mass_g_mol, is_public, project_id, version FROM molecules").fetchone()
    assert row is not None

    shown = service.get(f"/molecules/{created['id']}?only=id,name,molar_mass_g_mol,is_public,project_id,version").data

    names = ("id", "name", "molar_mass_g_mol", "is_public", "project_id", "version")
    assert json.loads(shown) == json.loads(dumps(dict(zip(names, row, strict=True))))


def test_flask_itself_writes_and_reads_the_same_way():
    app = Flask(__name__)
    app.json = JsonProvider(app)

    assert app.json.dumps({"at": dt.datetime(2026, 1, 31, tzinfo=dt.UTC)}) == '{"at":"2026-01-31T00:00:00.000000Z"}'
    assert app.json.response({"x": float("nan")}).get_data() == b'{"x":null}'
    assert app.json.response(x=1).mimetype == "application/json"
    with pytest.raises(MalformedError):
        app.json.loads('{"a": 1, "a": 2}')


# In.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        (" [1, 2.5, -3e2] ", [1, 2.5, -300.0]),
        ('"\\u00e9\\ud83e\\uddca"', "é🧊"),
        ('"é🧊"', "é🧊"),
        ('{"": null}', {"": None}),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        ('{"a": {"b": 1}, "c": {"b": 1}}', {"a": {"b": 1}, "c": {"b": 1}}),
        ("[]", []),
        ("true", True),
        ('"\\\\u0000"', "\\u0000"),
    ],
)
def test_finite_json_is_read(text: str, value: object):
    assert loads(text.encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"[1,]",
        b"nul",
        b"1 2",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf{}",
        b'"\n"',
        b'"\x00"',
        b"[\x00]",
    ],
)
def test_what_is_no_json_is_malformed(data: bytes):
    with pytest.raises(MalformedError) as caught:
        loads(data)

    assert caught.value.code == "malformed_json"


@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize("form", ['{"a":%s}', "[%s]", '[{"a":%s}]'])
@pytest.mark.parametrize("leaf", ["1", '"\\u0041"', ""])
def test_json_that_nests_without_end_is_malformed(form: str, depth: int, leaf: str):
    opening, closing = form.split("%s")
    try:
        loads(opening * depth + leaf + closing * depth)
    except MalformedError:
        return
    assert depth < 100_000
    assert leaf


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e309", "-1e309", "9" * 401, "1" + "0" * 10_000])
@pytest.mark.parametrize("form", ["%s", "[%s]", '{"a": {"b": [%s]}}'])
def test_a_number_that_is_not_finite_is_invalid(text: str, form: str):
    with pytest.raises(InvalidError) as caught:
        loads(form.replace("%s", text))

    assert len(caught.value.detail) < 100


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('"\\u0000"', ""),
        ('["a", "\\ud800"]', "/1"),
        ('{"a": {"b/c": ["x", "y\\udfff"]}}', "/a/b~1c/1"),
        ('{"a": {"\\u0000": 1}}', "/a"),
        ('{"~": "\\ude00\\ud83d"}', "/~0"),
    ],
)
def test_a_text_that_cannot_be_stored_is_invalid_where_it_stands(text: str, pointer: str):
    with pytest.raises(InvalidError) as caught:
        loads(text)

    assert [fault.pointer for fault in caught.value.faults] == [pointer]


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"x": [{"a": 1, "b": 2, "a": 3}]}', '{"a": 1, "\\u0061": 2}'])
def test_a_key_that_stands_twice_is_malformed_and_named(text: str):
    with pytest.raises(MalformedError, match="'a' stands twice") as caught:
        loads(text)

    assert caught.value.code == "duplicate_key"


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused_and_nothing_else(data: bytes):
    try:
        loads(data)
    except (MalformedError, InvalidError):
        return


@pytest.mark.parametrize(
    ("text", "is_unstorable"),
    [
        ("", False),
        ("abc", False),
        ("🧊", False),
        ("\ufffd\uffff", False),
        ("a\x00", True),
        ("\ud800", True),
        ("x\udfff", True),
    ],
)
def test_only_nul_and_half_surrogates_cannot_be_stored(text: str, is_unstorable: bool):  # noqa: FBT001
    assert unstorable(text) is is_unstorable


@pytest.mark.parametrize(("key", "escaped"), [("a", "a"), ("a/b", "a~1b"), ("~", "~0"), ("~1", "~01"), ("", "")])
def test_a_key_is_escaped_for_its_pointer(key: str, escaped: str):
    assert escape_pointer(key) == escaped


def test_a_mapping_that_is_no_dict_has_no_form():
    class Odd(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return 1

        def __iter__(self) -> Any:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    with pytest.raises(TypeError):
        dumps(Odd())
