"""What a reader finds of the published solutions and measurements that the service starts with."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.services.seed_molecules import seed
from database.session import Database
from tests.api.problems import problem
from tests.plugins.api import Api


@pytest.fixture
def seeded(app: Flask, database: Database) -> None:
    """Put in the data of a first start."""
    seed(database, app.extensions["cryoprotect"].chemistry)


def _one(caller: Api, path: str) -> dict[str, Any]:
    (record,) = caller.get(path).get_json()["data"]
    found: dict[str, Any] = record
    return found


def test_a_published_solution_shows_its_source_and_how_surely_it_is_known(anon: Api, seeded: None):
    vs55 = _one(anon, "/mixtures?q=VS55&include=source,components")

    assert (vs55["name"], vs55["purpose"], vs55["solvent"]) == ("VS55", "vitrification", "Euro-Collins")
    assert (vs55["certainty"], vs55["verified"]) == ("memory", False)
    assert "10.1006/cryo.1993.1051" in vs55["reference"]
    assert (vs55["source"]["name"], vs55["source"]["record"]) == ("CryoProtect literature tables", "vs55")
    assert [(part["name"], part["amount"], part["unit"]) for part in vs55["components"]] == [
        ("Dimethyl sulfoxide", 3.1, "mol/L"),
        ("Propylene glycol", 2.21, "mol/L"),
        ("Formamide", 3.1, "mol/L"),
    ]

    rates = anon.get(f"/mixtures/{vs55['id']}/experiments").get_json()["data"]
    by_context = {(r["conditions"].get("rate_context"), x["property_type"], x["relation"], x["value"], r["certainty"])
                  for r in rates for x in r["results"]}  # fmt: skip
    assert by_context == {
        ("solution", "critical_cooling_rate", "=", 2.5, "secondary"),
        ("tissue", "critical_cooling_rate", "<", 1.0, "secondary"),
        ("solution", "critical_warming_rate", "~", 270.0, "seen"),
        ("solution", "critical_warming_rate", "=", 50.0, "memory"),
    }

    composition = anon.get(f"/mixtures/{vs55['id']}/composition?unit=mol/kg").get_json()
    assert "volumes are additive" in composition["assumption"]
    assert "Euro-Collins counts as pure water" in composition["assumption"]
    assert sum(part["amount"] for part in composition["components"]) > 8.41

    sure = anon.get("/mixtures?certainty=seen&purpose__icontains=vitrification&only=name").get_json()["data"]
    assert sorted(record["name"] for record in sure) == [
        "Least toxic vitrifiable mixture of Warner 2022",
        "VS11 (Ali & Shelton)",
        "VS14 (Ali & Shelton)",
    ]


def test_nobody_says_of_a_mixture_of_their_own_that_it_was_published(alice: Api, seeded: None):
    own = {"name": "mine", "components": [{"molecule": "Glycerol", "amount": 1, "unit": "mol/L"}]}

    for field, value in (("certainty", "seen"), ("verified", True), ("purpose", "vitrification")):
        assert problem(alice.post("/mixtures", {**own, field: value}), 422)["errors"][0]["pointer"] == f"/{field}"
    made = alice.post("/mixtures", own).get_json()

    assert (made["certainty"], made["verified"], made["purpose"]) == (None, True, None)
