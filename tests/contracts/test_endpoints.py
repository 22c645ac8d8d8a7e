"""The contract's endpoints, the views and the OpenAPI document, held against each other both ways.

`endpoints.txt` has a method and a path a line. `pending` is what the contract has and the service not yet: a mark that
stays when the view is there fails. `further` is what the service has beyond the contract.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from flask import Flask

from tests.plugins.api import Api

ROOT: Final = Path(__file__).parents[2]
CONTRACT: Final = ROOT.parent / "shared" / "design" / "api.md"
LISTED: Final = Path(__file__).with_name("endpoints.txt")
BASE_PATH: Final = "/api/v1"
# What has a history, where the contract says `{resource}`.
RESOURCES: Final = "{molecules|mixtures|experiments|teams|projects}"
MARKS: Final = {"", "pending", "further"}
OUTSIDE: Final = ("/health/", "/metrics", "/openapi.json", "/docs")

Endpoint = tuple[str, str]


def listed(text: str) -> dict[Endpoint, str]:
    """Return the mark of each endpoint of the list."""
    found: dict[Endpoint, str] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            method, path, *marks = line.split()
            assert (method, _bare(path)) not in found, line
            assert " ".join(marks) in MARKS, line
            found[method, _bare(path)] = " ".join(marks)
    return found


def stated(text: str) -> set[Endpoint]:
    """Return the endpoints that the contract states, with what it abbreviates written out."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = set()
    for methods, path in re.findall(r"`([A-Z|]+) (/[^`\s]*)", text):
        found |= {(method, _full(one)) for method in methods.split("|") for one in _written_out(path)}
    # An address alone, in the parts that list them, is read.
    _, _, endpoints = text.partition("\n## Molecules")
    endpoints, _, _ = endpoints.partition("\n## Commands")
    for path in re.findall(r"`(/[^`\s]*)`", endpoints):
        found.add(("GET", _full(path)))
    return found


def _written_out(path: str) -> Iterator[str]:
    path = path.partition("?")[0].replace("{resource}", RESOURCES)
    if optional := re.search(r"\[(.*?)\]", path):
        for part in ("", optional[1]):
            yield from _written_out(path.replace(optional[0], part))
    elif choice := re.search(r"\{([^}]*\|[^}]*)\}", path):
        for one in choice[1].split("|"):
            yield from _written_out(path.replace(choice[0], one, 1))
    else:
        first, *others = path.split("|")
        yield from (first, *(f"{first.rpartition('/')[0]}/{other}" for other in others))


def _full(path: str) -> str:
    outside = path == "/" or path.startswith((*OUTSIDE, BASE_PATH))
    return _bare(path if outside else BASE_PATH + path)


def _bare(path: str) -> str:
    """Return a path whose parameters have no names."""
    return re.sub(r"\{[^}]*\}|<[^>]*>", "{}", path)


def built(app: Flask) -> set[Endpoint]:
    """Return the endpoints that the app has views for."""
    return {
        (method, _bare(rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def differences(marks: dict[Endpoint, str], views: set[Endpoint]) -> dict[str, list[Endpoint]]:
    """Return what is wrong between the list and the views."""
    ready = {endpoint for endpoint, mark in marks.items() if mark != "pending"}
    return {
        "there, and still marked as pending": sorted(views & marks.keys() - ready),
        "there, and not in the list": sorted(views - marks.keys()),
        "in the list, and not there": sorted(ready - views),
    }


@pytest.fixture(scope="module")
def marks() -> dict[Endpoint, str]:
    """Give the list."""
    return listed(LISTED.read_text(encoding="ascii"))


def test_the_list_and_the_views_agree(app: Flask, marks: dict[Endpoint, str]) -> None:
    assert not any(differences(marks, built(app)).values()), differences(marks, built(app))


def test_the_document_has_every_view_of_the_api_and_no_other(app: Flask) -> None:
    paths = Api(app.test_client()).get("//openapi.json").get_json()["paths"]
    documented = {
        (method.upper(), _bare(path)) for path, item in paths.items() for method in item if method != "parameters"
    }

    assert documented == {endpoint for endpoint in built(app) if endpoint[1].startswith(f"{BASE_PATH}/")}


@pytest.mark.skipif(not CONTRACT.is_file(), reason="the contract is not beside this checkout")
def test_the_list_and_the_contract_agree(marks: dict[Endpoint, str]) -> None:
    contract = stated(CONTRACT.read_text(encoding="utf-8"))

    assert {endpoint for endpoint, mark in marks.items() if mark != "further"} == contract
    assert len(contract) > 100


def test_a_view_that_is_missing_one_too_many_and_a_mark_that_stayed_are_found() -> None:
    marks = listed("GET /a\nGET /b/{id} pending\nGET /c further\nGET /d pending\n")

    found = differences(marks, {("GET", "/b/{}"), ("GET", "/c"), ("POST", "/c")})

    assert found == {
        "there, and still marked as pending": [("GET", "/b/{}")],
        "there, and not in the list": [("POST", "/c")],
        "in the list, and not there": [("GET", "/a")],
    }


def test_what_the_contract_abbreviates_is_written_out() -> None:
    text = """
## On every path
Not on `/tokens`. `GET /api/v1/limits` says so.
## Molecules
`GET|PUT /m/{id}/properties[/{type}]`, `POST /imports/{id}/cancel|retry?how=`, `GET /m/{id}/{a|b}`, `/health/live`
## Commands
`/nothing`
"""
    assert stated(text) == {
        ("GET", "/api/v1/limits"),
        *((method, f"/api/v1/m/{{}}/properties{more}") for method in ("GET", "PUT") for more in ("", "/{}")),
        *(("POST", f"/api/v1/imports/{{}}/{what}") for what in ("cancel", "retry")),
        *(("GET", f"/api/v1/m/{{}}/{what}") for what in ("a", "b")),
        ("GET", "/health/live"),
    }
