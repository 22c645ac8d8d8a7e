"""Paging through a list that others change or do not see."""

from __future__ import annotations

import psycopg

from tests.api.bodies import alkanes
from tests.plugins.api import Api


def test_rows_added_while_somebody_pages_neither_repeat_nor_hide_others(service: Api, admin: psycopg.Connection):
    service.post("/molecules/batch", alkanes(6))
    first = service.get("/molecules?order_by=name&limit=3").get_json()

    service.post("/molecules", {"name": "alkane 0", "smiles": "N"})
    admin.execute("DELETE FROM molecules WHERE name = 'alkane 3'")
    second = service.get(f"/molecules?order_by=name&limit=3&cursor={first['page']['next']}").get_json()

    assert [record["name"] for record in first["data"]] == ["alkane 1", "alkane 2", "alkane 3"]
    assert [record["name"] for record in second["data"]] == ["alkane 4", "alkane 5", "alkane 6"]


def test_a_cursor_shows_nobody_rows_that_they_may_not_see(alice: Api, bob: Api):
    alice.post("/molecules/batch", alkanes(5))
    text = alice.get("/molecules?limit=2").get_json()["page"]["next"]

    response = bob.get(f"/molecules?limit=2&cursor={text}")

    assert response.get_json()["data"] == []
