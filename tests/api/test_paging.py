"""Paging by key: cursors lead through the whole list once, and nobody can write or carry one over."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask import Flask

from api.common import cursor
from database.listing import ListRequest, Sort
from database.repositories.molecules import MOLECULES
from tests.api.catalogue import PUBLIC_COUNT
from tests.api.problems import problem
from tests.plugins.api import Api


def pages(caller: Api, query: str) -> list[list[dict[str, Any]]]:
    """Return the pages of a list, each found through the cursor of the one before."""
    found: list[list[dict[str, Any]]] = []
    after: str | None = ""
    while after is not None:
        body = caller.get(f"/molecules?{query}" + (f"&cursor={after}" if after else "")).get_json()
        found.append(body["data"])
        after = body["page"]["next"]
        assert len(found) < 50, "the cursors go round in a circle"
    return found


def first_cursor(caller: Api, query: str = "limit=2") -> str:
    text: str = caller.get(f"/molecules?{query}").get_json()["page"]["next"]
    return text


@pytest.mark.parametrize("field", MOLECULES.sortable)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("limit", [1, 3, PUBLIC_COUNT])
def test_the_pages_of_every_sort_are_the_whole_list_once_and_in_order(
    visitor: Api, catalogue: list[dict[str, Any]], field: str, sign: str, limit: int
):
    order = f"order_by={sign}{field}"
    whole = visitor.get(f"/molecules?{order}&limit=1000").get_json()["data"]

    found = pages(visitor, f"{order}&limit={limit}")

    assert [record for page in found for record in page] == whole
    assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize(
    "order",
    [
        "molar_mass_g_mol,name",
        "-molar_mass_g_mol,name",
        "formula,-molar_mass_g_mol,inchikey",
        "-formula,inchikey,-name",
        "name,molar_mass_g_mol",
    ],
)
def test_the_pages_of_combined_sorts_with_ties_and_missing_values_are_the_whole_list(
    visitor: Api, catalogue: list[dict[str, Any]], order: str
):
    whole = visitor.get(f"/molecules?order_by={order}&limit=1000").get_json()["data"]

    assert [record for page in pages(visitor, f"order_by={order}&limit=2") for record in page] == whole


def test_the_pages_of_a_filtered_search_are_its_whole_list(visitor: Api, catalogue: list[dict[str, Any]]):
    query = "q=mass or alpha or dextran&molar_mass_g_mol__isnull=false"
    whole = visitor.get(f"/molecules?{query}").get_json()["data"]

    assert [record for page in pages(visitor, f"{query}&limit=1") for record in page] == whole
    assert len(whole) >= 2


def test_the_last_page_has_no_next_even_when_it_is_full(visitor: Api, catalogue: list[dict[str, Any]]):
    response = visitor.get(f"/molecules?limit={PUBLIC_COUNT}")

    assert response.get_json()["page"]["next"] is None
    assert "Link" not in response.headers


def test_the_next_link_keeps_every_parameter(visitor: Api, catalogue: list[dict[str, Any]]):
    query = {
        "limit": "1",
        "order_by": "-name,id",
        "only": "name,id",
        "count": "exact",
        "name__icontains": "a",
        "molar_mass_g_mol__isnull": "false",
        "modified_after": "2020-01-01T00:00:00+00:00",
        "q": "mass or é",
        "format": "json",
    }
    response = visitor.get("/molecules", query_string=query)

    target, _, relation = response.headers["Link"].partition("; ")
    assert relation == 'rel="next"'
    address = urlsplit(target.strip("<>"))
    assert address.path == "/api/v1/molecules"
    said = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert said.pop("cursor") == response.get_json()["page"]["next"]
    assert said == query


def test_following_the_links_leads_through_the_list(visitor: Api, catalogue: list[dict[str, Any]]):
    seen: list[str] = []
    link: str | None = "/molecules?limit=4&order_by=name"
    while link:
        response = visitor.get(link)
        seen += [record["name"] for record in response.get_json()["data"]]
        link = response.headers.get("Link", "").partition(">")[0].partition("/api/v1")[2]

    assert seen == sorted(record["name"] for record in catalogue)


def test_a_cursor_is_opaque_and_fits_into_an_address(visitor: Api, catalogue: list[dict[str, Any]]):
    text = first_cursor(visitor, "limit=1&order_by=-name")

    assert quote(text, safe="") == text
    assert "É" not in text


@pytest.mark.parametrize("position", [0, 5, 15, 22, 30, 40, -8])
def test_a_tampered_cursor_is_400(visitor: Api, catalogue: list[dict[str, Any]], position: int):
    text = list(first_cursor(visitor))
    text[position] = "A" if text[position] != "A" else "B"

    problem(visitor.get(f"/molecules?limit=2&cursor={''.join(text)}"), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "text",
    ["", "x", "null", "*", "%00", "....", "A" * 22, "A" * 5000, "eyJhIjoxfQ", "é", "AA==", "' OR 1=1", "-1", "[]"],
)
def test_a_made_up_cursor_is_400(visitor: Api, text: str):
    response = visitor.get(f"/molecules?cursor={text}")

    assert response.status_code in {400, 422}
    problem(response, 422 if text == "%00" else 400, None if text == "%00" else "invalid_cursor")


def test_a_cursor_forged_without_the_key_is_400(visitor: Api, catalogue: list[dict[str, Any]]):
    forged = cursor.seal(b"a guess", MOLECULES, ListRequest(), ("2026-01-01 00:00:00+00", catalogue[0]["id"]))

    problem(visitor.get(f"/molecules?cursor={forged}"), 400, "invalid_cursor")


def test_a_cursor_with_the_seal_of_another_is_400(visitor: Api, catalogue: list[dict[str, Any]]):
    text = first_cursor(visitor)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    payload = json.dumps(["x' OR true --", str(catalogue[0]["id"])]).encode()
    forged = base64.urlsafe_b64encode(raw[:16] + payload).decode().rstrip("=")

    problem(visitor.get(f"/molecules?cursor={forged}"), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    [
        "order_by=name",
        "order_by=created_at",
        "order_by=-created_at,-name",
        "name__icontains=a",
        "name__contains=e",
        "kind=molecule",
        "q=alpha",
        "modified_after=2020-01-01T00:00:00Z",
    ],
)
def test_a_cursor_of_another_query_or_order_is_400(visitor: Api, catalogue: list[dict[str, Any]], query: str):
    text = first_cursor(visitor)

    problem(visitor.get(f"/molecules?{query}&cursor={text}"), 400, "invalid_cursor")


def test_a_cursor_of_one_filter_value_does_not_serve_another(visitor: Api, catalogue: list[dict[str, Any]]):
    text = first_cursor(visitor, "limit=1&kind=molecule")

    problem(visitor.get(f"/molecules?limit=1&kind=polymer&cursor={text}"), 400, "invalid_cursor")


@pytest.mark.parametrize("query", ["limit=7", "only=name", "detail=full", "include=properties", "count=exact", ""])
def test_a_cursor_serves_any_size_and_shape_of_the_same_query(
    visitor: Api, catalogue: list[dict[str, Any]], query: str
):
    text = first_cursor(visitor)

    assert visitor.get(f"/molecules?{query}&cursor={text}").status_code == 200


def test_the_default_order_may_be_spelled_out_on_a_later_page(visitor: Api, catalogue: list[dict[str, Any]]):
    text = first_cursor(visitor)

    assert visitor.get(f"/molecules?order_by=-created_at&cursor={text}").status_code == 200


def test_a_cursor_of_another_installation_is_400(visitor: Api, catalogue: list[dict[str, Any]], app: Flask):
    request = ListRequest()
    record = catalogue[-1]
    after = (record["created_at"], record["id"])
    own = cursor.seal(app.extensions["cryoprotect"].cursor_key, MOLECULES, request, after)
    other = cursor.seal(b"\x00" * 32, MOLECULES, request, after)

    assert visitor.get(f"/molecules?cursor={own}").status_code == 200
    problem(visitor.get(f"/molecules?cursor={other}"), 400, "invalid_cursor")


def test_the_seal_covers_the_order_the_filters_and_the_search_text():
    after = ("x", "y")
    plain = cursor.seal(b"key", MOLECULES, ListRequest(), after)

    others = [
        cursor.seal(b"key", MOLECULES, ListRequest(order=(Sort("name"),)), after),
        cursor.seal(b"key", MOLECULES, ListRequest(query="x"), after),
        cursor.seal(b"key 2", MOLECULES, ListRequest(), after),
        cursor.seal(b"key", MOLECULES, ListRequest(), ("x", None)),
    ]

    assert len({plain, *others}) == 5
    assert cursor.unseal(b"key", MOLECULES, ListRequest(limit=7), plain) == after
