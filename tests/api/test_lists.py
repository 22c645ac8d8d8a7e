"""Lists: the envelope, limits, sorts, fields, filters, search and counts, and nothing that was not declared."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import pytest

from database.listing import OPERATORS, Kind
from database.repositories.molecules import MOLECULES
from tests.api.catalogue import PUBLIC_COUNT
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

Record = dict[str, Any]
STRANGE_NAMES = [
    "id;drop",
    "id; DROP TABLE molecules",
    "pg_sleep(5)",
    "name'",
    'name"',
    "name--",
    "name/**/",
    "1",
    "*",
    "m.name",
    "NAME",
    "na\uff4de",
    "имя",
    "acl",
    "search",
    "data_source_id",
    "__class__",
    "",
]


def names(records: Iterable[Record]) -> list[str]:
    return [record["name"] for record in records]


def listed(caller: Api, query: str) -> list[Record]:
    response = caller.get(f"/molecules?{query}")
    assert response.status_code == 200, response.text
    data: list[Record] = response.get_json()["data"]
    return data


def test_a_list_is_data_and_page_and_nothing_else(visitor: Api, catalogue: list[Record]):
    body = visitor.get("/molecules").get_json()

    assert body.keys() == {"data", "page"}
    assert body["page"] == {"limit": 50, "next": None, "count": None}
    assert len(body["data"]) == PUBLIC_COUNT


def test_a_list_without_rows_is_an_empty_list(visitor: Api):
    body = visitor.get("/molecules?name=nothing is called so").get_json()

    assert body == {"data": [], "page": {"limit": 50, "next": None, "count": None}}


def test_a_head_request_says_what_a_get_would_without_the_body(visitor: Api, catalogue: list[Record]):
    head, get = visitor.request("HEAD", "/molecules"), visitor.get("/molecules")

    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert head.headers["Content-Type"] == "application/json"


def test_the_newest_record_comes_first_where_no_order_is_asked_for(visitor: Api, catalogue: list[Record]):
    times = [record["created_at"] for record in listed(visitor, "")]

    assert times == sorted(times, reverse=True)


def test_a_list_without_full_text_does_not_take_q_and_does_not_name_it(visitor: Api):
    for parameter in ("q", "nonsense"):
        found = problem(visitor.get(f"/predictions?{parameter}=glycerol"), 400, "unknown_parameter")
        named = found["detail"].partition("known: ")[2].split(", ")

        assert "q" not in named
        assert "order_by" in named
    assert "q" in problem(visitor.get("/molecules?nonsense=x"), 400)["detail"].partition("known: ")[2].split(", ")


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_a_limit_from_1_to_1000_is_kept(visitor: Api, catalogue: list[Record], limit: int):
    body = visitor.get(f"/molecules?limit={limit}").get_json()

    assert len(body["data"]) == min(limit, PUBLIC_COUNT)
    assert body["page"]["limit"] == limit


@pytest.mark.parametrize(
    "limit",
    ["-1", "0", "1001", "1000000000", "1e9", "NaN", "Infinity", "", "5.0", "0x10", "1_0", "+5", "٣", "five", "%00"],
)
def test_any_other_limit_is_422_and_never_a_silent_cut(visitor: Api, limit: str):
    assert pointers(visitor.get(f"/molecules?limit={limit}")) == ["limit"]


@pytest.mark.parametrize(
    "query", ["limit=5&limit=5", "order_by=name&order_by=name", "name=a&name=b", "q=a&q=b", "cursor=a&cursor=b"]
)
def test_a_parameter_given_twice_is_400(visitor: Api, query: str):
    problem(visitor.get(f"/molecules?{query}"), 400, "repeated_parameter")


@pytest.mark.parametrize("field", MOLECULES.sortable)
@pytest.mark.parametrize("sign", ["", "-"])
def test_every_declared_sort_sorts_with_missing_values_last(
    visitor: Api, catalogue: list[Record], field: str, sign: str
):
    values = [record[field] for record in listed(visitor, f"order_by={sign}{field}")]

    present = [value for value in values if value is not None]
    assert values == sorted(present, reverse=bool(sign)) + [None] * (len(values) - len(present))
    assert len(values) == PUBLIC_COUNT


def test_sorts_can_be_combined_each_in_its_direction(visitor: Api, catalogue: list[Record]):
    records = listed(visitor, "order_by=-molar_mass_g_mol,name")

    def key(record: Record) -> tuple[float, str]:
        mass = record["molar_mass_g_mol"]
        return (math.inf if mass is None else -mass, record["name"])

    assert records == sorted(records, key=key)
    assert names(records).index("same mass a") + 1 == names(records).index("same mass b")


@pytest.mark.parametrize("name", [*STRANGE_NAMES, "descriptors", "fingerprint", "properties", "canonical_smiles"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_list_is_sorted_by_declared_columns_only(visitor: Api, name: str, sign: str):
    body = problem(visitor.get(f"/molecules?order_by={quote(sign + name)}"), 400, "unknown_field")

    assert all(field in body["detail"] for field in MOLECULES.sortable)


@pytest.mark.parametrize("order", ["--name", "-", "name,,id", "name asc", "name,"])
def test_an_order_that_makes_no_sense_is_400(visitor: Api, order: str):
    problem(visitor.get(f"/molecules?order_by={quote(order)}"), 400)


def test_a_field_that_an_order_names_again_changes_nothing(visitor: Api, catalogue: list[Record]):
    assert listed(visitor, "order_by=-name,name,id,-name") == listed(visitor, "order_by=-name,id")


def test_only_gives_just_the_fields_named(visitor: Api, catalogue: list[Record]):
    assert {tuple(record) for record in listed(visitor, "only=name,id")} == {("id", "name")}


def test_only_gives_related_records_too(visitor: Api, catalogue: list[Record]):
    (record,) = listed(visitor, "only=identifiers&name=glycerine")

    assert record == {
        "identifiers": [{"source": "name", "kind": "synonym", "external_id": "glycerol", "verified": True}]
    }


@pytest.mark.parametrize("parameter", ["only", "include"])
@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_fields_are_chosen_by_declared_names_only(visitor: Api, parameter: str, name: str):
    body = problem(visitor.get(f"/molecules?{parameter}={quote(name)}"), 400, "unknown_field")

    assert "molar_mass_g_mol" in body["detail"]


@pytest.mark.parametrize("parameter", ["only", "include"])
def test_one_unknown_field_among_known_ones_is_enough_for_400(visitor: Api, parameter: str):
    problem(visitor.get(f"/molecules?{parameter}=name,acl"), 400, "unknown_field")


def test_detail_says_how_much_of_each_record_is_shown(visitor: Api, catalogue: list[Record]):
    minimal, standard, full = (set(listed(visitor, f"limit=1&detail={d}")[0]) for d in ("minimal", "standard", "full"))

    assert minimal == {"id", "name", "inchikey"}
    assert minimal < standard < full
    assert full - standard == {"fingerprint", "source", "identifiers", "properties"}


def test_standard_is_the_detail_where_none_is_asked_for(visitor: Api, catalogue: list[Record]):
    assert listed(visitor, "") == listed(visitor, "detail=standard")


@pytest.mark.parametrize("detail", ["", "FULL", "everything", "1"])
def test_another_detail_is_422(visitor: Api, detail: str):
    assert pointers(visitor.get(f"/molecules?detail={detail}")) == ["detail"]


def test_include_adds_to_the_detail(visitor: Api, catalogue: list[Record]):
    record = listed(visitor, "detail=minimal&include=properties,formula&limit=1")[0]

    assert set(record) == {"id", "name", "inchikey", "properties", "formula"}


def contains(text: str) -> Callable[[Record], bool]:
    return lambda record: text in record["name"]


def everything(_: Record) -> bool:
    return True


def nothing(_: Record) -> bool:
    return False


FILTERS: list[tuple[str, Callable[[Record], bool]]] = [
    ("name=glycerine", lambda r: r["name"] == "glycerine"),
    ("name__exact=glycerine", lambda r: r["name"] == "glycerine"),
    ("name=Glycerine", nothing),
    ("name__iexact=GLYCERINE", lambda r: r["name"] == "glycerine"),
    ("name__in=glycerine,alpha_beta,nothing", lambda r: r["name"] in {"glycerine", "alpha_beta"}),
    ("name__gt=glycerine", lambda r: r["name"] > "glycerine"),
    ("name__gte=glycerine", lambda r: r["name"] >= "glycerine"),
    ("name__lt=glycerine", lambda r: r["name"] < "glycerine"),
    ("name__lte=glycerine", lambda r: r["name"] <= "glycerine"),
    ("name__range=b,h", lambda r: "b" <= r["name"] <= "h"),
    ("name__isnull=true", nothing),
    ("name__isnull=false", everything),
    ("name__contains=alpha", contains("alpha")),
    ("name__icontains=ALPHA", lambda r: "alpha" in r["name"].lower()),
    ("name__startswith=alpha", lambda r: r["name"].startswith("alpha")),
    ("name__istartswith=ALPHA", lambda r: r["name"].lower().startswith("alpha")),
    ("name__icontains=%C3%A9THYL", lambda r: r["name"].startswith("Éthyl")),
    ("name__contains=%25", contains("%")),
    ("name__contains=100%25 p", contains("100% p")),
    ("name__contains=_", contains("_")),
    ("name__startswith=alpha_b", lambda r: r["name"] == "alpha_beta"),
    ("name__startswith=%25", nothing),
    ("name__startswith=_", nothing),
    ("name__contains=%5C", contains("\\")),
    ("name__contains=%5C%25", nothing),
    ("name__iexact=alpha%25", nothing),
    ("name=it%27s; DROP TABLE molecules --", lambda r: r["name"].startswith("it's")),
    ("name__contains=%27; DROP", contains("'; DROP")),
    ("name__contains=%25s", contains("%s")),
    ("name__contains=%25(q)s", contains("%(q)s")),
    ("name__contains={braces}", contains("{braces}")),
    ("molar_mass_g_mol__gt=60", lambda r: r["molar_mass_g_mol"] is not None and r["molar_mass_g_mol"] > 60),
    ("molar_mass_g_mol__gte=60.5", lambda r: r["molar_mass_g_mol"] is not None and r["molar_mass_g_mol"] >= 60.5),
    ("molar_mass_g_mol__lt=6e1", lambda r: r["molar_mass_g_mol"] is not None and r["molar_mass_g_mol"] < 60),
    ("molar_mass_g_mol__lte=-1", nothing),
    ("molar_mass_g_mol__range=40,60", lambda r: r["molar_mass_g_mol"] and 40 <= r["molar_mass_g_mol"] <= 60),
    ("molar_mass_g_mol__range=60,40", nothing),
    ("molar_mass_g_mol__isnull=true", lambda r: r["molar_mass_g_mol"] is None),
    ("molar_mass_g_mol__isnull=false", lambda r: r["molar_mass_g_mol"] is not None),
    ("inchikey__isnull=True", lambda r: r["inchikey"] is None),
    ("kind=polymer", lambda r: r["kind"] == "polymer"),
    ("kind__in=polymer", lambda r: r["kind"] == "polymer"),
    ("is_public=true", everything),
    ("is_public=false", nothing),
    ("project_id__isnull=true", everything),
    ("version=1", everything),
    ("version__gt=1", nothing),
    ("created_at__lt=2000-01-01", nothing),
    ("created_at__range=2000-01-01T00:00:00Z,2999-01-01T00:00:00%2B02:00", everything),
    (
        "formula__startswith=C3&molar_mass_g_mol__lt=61",
        lambda r: (r["formula"] or "").startswith("C3") and r["molar_mass_g_mol"] < 61,
    ),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS, ids=[query for query, _ in FILTERS])
def test_a_filter_lets_through_just_the_records_that_it_says(
    visitor: Api, catalogue: list[Record], query: str, expected: Callable[[Record], bool]
):
    found = listed(visitor, f"order_by=name&{query}")

    assert names(found) == sorted(record["name"] for record in catalogue if expected(record))


def test_every_operator_of_every_kind_is_tried_above():
    tried = {query.partition("=")[0] for query, _ in FILTERS}
    text = {name.partition("__")[2] or "exact" for name in tried if name.startswith("name")}

    assert text == set(OPERATORS[Kind.TEXT])


@pytest.mark.parametrize(("field", "operator"), [(item.name, op) for item in MOLECULES.fields for op in item.operators])
def test_every_operator_of_every_field_runs(visitor: Api, catalogue: list[Record], field: str, operator: str):
    sample = {Kind.TEXT: "C", Kind.UUID: catalogue[0]["id"], Kind.BOOLEAN: "true", Kind.TIMESTAMP: "2026-01-01"}
    value = sample.get(MOLECULES.by_name[field].kind, "1")
    value = {"isnull": "false", "range": f"{value},{value}"}.get(operator, value)

    assert visitor.get(f"/molecules?{field}__{operator}={value}").status_code == 200


def test_an_id_finds_its_record(visitor: Api, catalogue: list[Record]):
    wanted = catalogue[3]["id"]

    assert [r["id"] for r in listed(visitor, f"id={wanted}")] == [wanted]
    assert [r["id"] for r in listed(visitor, f"id__in={wanted},{catalogue[0]['id']}&order_by=id")] == sorted(
        [wanted, catalogue[0]["id"]]
    )


@pytest.mark.parametrize(
    "name", [*STRANGE_NAMES[:-1], "descriptors", "fingerprint", "source", "name__", "limit__gt", "name\x00"]
)
def test_filters_name_declared_fields_only(visitor: Api, name: str):
    response = visitor.get(f"/molecules?{quote(name)}=1")

    problem(response, 400)
    assert response.get_json()["code"] in {"unknown_parameter", "unknown_operator"}


@pytest.mark.parametrize(
    ("parameter", "has"),
    [
        ("name__regex", "startswith"),
        ("name__gt__lt", "startswith"),
        ("name__GT", "startswith"),
        ("name___gt", "startswith"),
        ("name__exact;drop", "startswith"),
        ("is_public__gt", "isnull"),
        ("id__contains", "in"),
        ("molar_mass_g_mol__icontains", "range"),
    ],
)
def test_an_operator_that_a_field_does_not_have_is_400_and_those_it_has_are_named(
    visitor: Api, parameter: str, has: str
):
    body = problem(visitor.get(f"/molecules?{quote(parameter)}=1"), 400, "unknown_operator")

    assert has in body["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "molar_mass_g_mol=heavy",
        "molar_mass_g_mol__gt=NaN",
        "molar_mass_g_mol__gt=inf",
        "molar_mass_g_mol__gt=1e400",
        "molar_mass_g_mol__gt=1_000",
        "molar_mass_g_mol__gt=",
        "molar_mass_g_mol__in=1,,2",
        "molar_mass_g_mol__range=1",
        "molar_mass_g_mol__range=1,2,3",
        "version=1.5",
        "version=99999999999999999999",
        "version=true",
        "is_public=1",
        "is_public=yes",
        "is_public=",
        "name__isnull=null",
        "id=1",
        "id={00000000-0000-0000-0000-000000000000}",
        "id__in=00000000-0000-0000-0000-000000000000,x",
        "created_at__gt=yesterday",
        "created_at__gt=2026-13-01",
        "created_at__gt=0001-01-01T00:00:00%2B14:00",
        "modified_after=",
        "modified_after=now()",
        "name=%00",
        "name__in=a,%00",
        "count=all",
        "format=xml",
        "format=",
        "q=",
        "q=%20",
        "name=" + "x" * 10_001,
        "q=" + "x" * 501,
        "id__in=" + ",".join(["00000000-0000-0000-0000-000000000000"] * 200 + ["x"]),
        "name__in=" + "," * 1000,
    ],
    ids=lambda query: query[:50],
)
def test_a_value_of_the_wrong_kind_is_422_and_points_to_its_parameter(visitor: Api, query: str):
    (pointer,) = pointers(visitor.get(f"/molecules?{query}"))

    assert pointer == query.partition("=")[0]


def test_modified_after_gives_what_was_changed_after_a_moment(visitor: Api, catalogue: list[Record]):
    moment = sorted(record["updated_at"] for record in catalogue)[-3]

    found = listed(visitor, f"modified_after={moment}")

    assert {r["id"] for r in found} == {r["id"] for r in catalogue if r["updated_at"] > moment}
    assert len(found) == 2


@pytest.mark.parametrize("offset", ["Z", "%2B00:00", " 00:00", "%2B1000", " 10:00", "-05:30", "-0530"])
def test_a_moment_is_read_in_any_zone_and_with_a_plus_that_was_not_encoded(
    visitor: Api, catalogue: list[Record], offset: str
):
    newest = max(dt.datetime.fromisoformat(record["updated_at"]) for record in catalogue)
    zone = dt.datetime.fromisoformat("2026-01-01T00:00:00" + offset.replace("%2B", "+").replace(" ", "+")).tzinfo
    before, after = (
        (newest + step).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S.%f") + offset
        for step in (dt.timedelta(minutes=-1), dt.timedelta(minutes=1))
    )

    assert listed(visitor, f"modified_after={before}") != []
    assert listed(visitor, f"modified_after={after}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("glycerine", {"glycerine"}),
        ("GLYCERINE", {"glycerine"}),
        ("glycerol", {"glycerine"}),
        ("marsh gas", {"Alpha 100% pure"}),
        ("same mass", {"same mass a", "same mass b"}),
        ('"same mass" -b', {"same mass a"}),
        ("dextran or ficoll", {"Dextran 40", "Ficoll 70"}),
        ("éthylène", {"Éthylène glycol δ"}),
        ("nothing", set()),
        ("hidden", set()),
        ("' OR 1=1 --", set()),
        ("!!! & | ( : *", set()),
        ("zz\\", set()),
    ],
)
def test_q_searches_names_and_synonyms(visitor: Api, catalogue: list[Record], text: str, expected: set[str]):
    assert set(names(listed(visitor, f"q={quote(text)}"))) == expected


def test_q_and_filters_hold_together(visitor: Api, catalogue: list[Record]):
    assert names(listed(visitor, "q=mass&name__contains=b")) == ["same mass b"]


def test_an_exact_count_counts_all_records_of_the_query_whatever_the_page(visitor: Api, catalogue: list[Record]):
    page = visitor.get("/molecules?count=exact&limit=1&kind=polymer").get_json()["page"]

    assert page["count"] == 3


def test_an_exact_count_on_a_later_page_still_counts_all(visitor: Api, catalogue: list[Record]):
    first = visitor.get("/molecules?count=exact&limit=5").get_json()["page"]

    second = visitor.get(f"/molecules?count=exact&limit=5&cursor={first['next']}").get_json()["page"]

    assert (first["count"], second["count"]) == (PUBLIC_COUNT, PUBLIC_COUNT)


def test_an_exact_count_counts_what_the_caller_may_see(visitor: Api, operator: Api, catalogue: list[Record]):
    counts = [
        caller.get("/molecules?count=exact&limit=1").get_json()["page"]["count"] for caller in (visitor, operator)
    ]

    assert counts == [PUBLIC_COUNT, PUBLIC_COUNT + 1]


def test_an_estimated_count_is_a_whole_number(visitor: Api, catalogue: list[Record]):
    count = visitor.get("/molecules?count=estimated&q=glycerol&name__contains=g").get_json()["page"]["count"]

    assert isinstance(count, int)
    assert count >= 0


def test_no_count_is_made_unless_it_is_asked_for(visitor: Api, catalogue: list[Record]):
    assert visitor.get("/molecules?count=none").get_json()["page"]["count"] is None
