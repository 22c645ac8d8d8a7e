"""Drawings of molecules."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from tests.api.bodies import DMSO, GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawing(service: Api) -> str:
    """Give the path of a drawing."""
    return f"/molecules/{service.post('/molecules', DMSO).get_json()['id']}/structure.svg"


def test_a_drawing_is_well_formed_svg_of_the_size_asked_for(anon: Api, drawing: str):
    response = anon.get(f"{drawing}?width=400&height=200")

    assert response.content_type == "image/svg+xml; charset=utf-8"
    root = ET.fromstring(response.data)  # noqa: S314 - our own answer
    assert root.tag == f"{SVG}svg"
    assert root.get("width", "").startswith("400")
    assert root.get("height", "").startswith("200")
    assert root.findall(f".//{SVG}path")


def test_a_drawing_is_300_pixels_wide_and_high_where_nothing_is_said(anon: Api, drawing: str):
    root = ET.fromstring(anon.get(drawing).data)  # noqa: S314 - our own answer

    assert root.get("width", "").startswith("300")


def test_a_drawing_holds_nothing_that_runs_or_loads(anon: Api, drawing: str):
    response = anon.get(drawing)

    assert b"<script" not in response.data
    assert b"javascript" not in response.data
    assert b"href" not in response.data
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("width=0", "width"),
        ("width=-300", "width"),
        ("width=49", "width"),
        ("width=2001", "width"),
        ("height=1000000000", "height"),
        ("width=NaN", "width"),
        ("width=1e2", "width"),
        ("width=300.5", "width"),
        ("width=", "width"),
        ("height=%00", "height"),
        ("height=ten", "height"),
    ],
)
def test_a_size_out_of_bounds_is_422(anon: Api, drawing: str, query: str, pointer: str):
    assert pointers(anon.get(f"{drawing}?{query}")) == [pointer]


def test_a_size_given_twice_is_400(anon: Api, drawing: str):
    problem(anon.get(f"{drawing}?width=100&width=200"), 400, "repeated_parameter")


def test_each_size_is_another_representation(anon: Api, drawing: str):
    first, second = (anon.get(f"{drawing}?width={width}").headers["ETag"] for width in (100, 200))

    assert first != second
    assert anon.get(f"{drawing}?width=100", headers={"If-None-Match": first}).status_code == 304
    assert anon.get(f"{drawing}?width=100", headers={"If-None-Match": second}).status_code == 200


def test_a_polymer_has_no_drawing(anon: Api, add_polymer: Callable[..., str]):
    problem(anon.get(f"/molecules/{add_polymer('Dextran')}/structure.svg"), 404, "no_structure")


def test_nobody_sees_a_drawing_of_what_they_may_not_see(alice: Api, bob: Api, anon: Api):
    path = f"/molecules/{alice.post('/molecules', GLYCEROL).get_json()['id']}/structure.svg"

    assert alice.get(path).status_code == 200
    problem(bob.get(path), 404)
    problem(anon.get(path), 404)
