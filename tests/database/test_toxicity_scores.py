"""Scores follow their results: the rule for replicates, coverage, confidence, and who sees them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from psycopg import sql

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.toxicity import Assay, Endpoint, HitCall, NewToxicityResult
from app.errors import ForbiddenError, InvalidError, NotFoundError
from database.listing import Filter, ListRequest, Sort
from database.repositories.molecules import MoleculeRepository
from database.repositories.toxicity import ResultRepository
from database.repositories.toxicity_scores import RANKING, RankingReader, ScoreReader, Selection
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.rows import done_together, insert
from tests.database.worlds import World, add_public_molecule, add_world

HIT, MISS, OPEN = HitCall.ACTIVE, HitCall.INACTIVE, HitCall.INCONCLUSIVE
NUCLEAR = Endpoint("nuclear_receptor", "Receptors")
STRESS = Endpoint("stress_response", "Stress")
AHR = Assay("tox21", "NR-AhR", cell_type="HepG2", endpoints=(NUCLEAR,))
ER = Assay("tox21", "NR-ER", cell_type="BG1", endpoints=(NUCLEAR,))
P53 = Assay("tox21", "SR-p53", cell_type="HCT-116", endpoints=(STRESS,))
MMP = Assay("tox21", "SR-MMP", cell_type="HepG2", endpoints=(STRESS,))
ORAL = Assay("ice", "oral", endpoints=(Endpoint("acute_oral_toxicity", "Deaths", is_scored=False),))


def hits(molecule: UUID, assay: Assay, *calls: HitCall, **changes: Any) -> list[NewToxicityResult]:
    return [replace(NewToxicityResult(str(molecule), assay, hit_call=call), **changes) for call in calls]


def dose(molecule: UUID, value: float, relation: str = "=") -> NewToxicityResult:
    return NewToxicityResult(
        str(molecule),
        ORAL,
        potency_type="LD50",
        potency=value,
        potency_unit="mg/kg",
        potency_relation=relation,  # type: ignore[arg-type] # the same text
    )


def add(database: Database, *results: NewToxicityResult, caller: Caller = SERVICE) -> list[UUID]:
    with database.transaction(caller) as session:
        outcomes = ResultRepository(session).add_many(results)
    assert all(outcome.id for outcome in outcomes), outcomes
    return [outcome.id for outcome in outcomes if outcome.id]


def score(
    database: Database, molecule: UUID, endpoint: str | None = None, cell_type: str | None = None, caller: Caller = ANON
) -> dict[str, Any]:
    reader = ScoreReader(database.reading(caller))
    found: dict[str, Any] = orjson.loads(reader.score(molecule, Selection(endpoint, cell_type)).json)
    return found


def profile(database: Database, molecule: UUID, caller: Caller = ANON) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(ScoreReader(database.reading(caller)).profile(molecule).json)
    return found


def ranked(database: Database, caller: Caller = ANON, **request: Any) -> list[tuple[str, float | None]]:
    request = {"filters": RANKING.defaults, **request}
    documents = RankingReader(database.reading(caller)).page(ListRequest(**request)).documents
    return [(record["name"], record["score"]) for record in map(orjson.loads, documents)]


def confidence(active: int, inactive: int, agreement: float = 1.0) -> float:
    """Return the documented formula: one less the width of Wilson's 95 % interval, times the agreement."""
    n, z = active + inactive, 1.96
    p = active / n
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return agreement * (1 - 2 * half)


@pytest.fixture
def glycerol(admin: psycopg.Connection, emptied: None) -> UUID:
    """Give a public molecule."""
    return add_public_molecule(admin)


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with private molecules."""
    return add_world(admin)


@pytest.mark.parametrize(
    ("calls", "call"),
    [
        ([HIT], "active"),
        ([HIT, HIT, MISS], "active"),
        ([HIT, MISS, MISS], "inactive"),
        ([HIT, MISS], "inconclusive"),
        ([HIT, OPEN, OPEN, OPEN], "active"),
        ([MISS, OPEN], "inactive"),
        ([OPEN], "inconclusive"),
        ([HIT, HIT, MISS, MISS, OPEN], "inconclusive"),
    ],
)
def test_replicates_are_resolved_by_majority_and_a_tie_is_no_call(
    database: Database, glycerol: UUID, calls: list[HitCall], call: str
) -> None:
    add(database, *hits(glycerol, AHR, *calls))

    found = score(database, glycerol)

    assert [assay["hit_call"] for assay in found["assays"]] == [call]
    assert found["conflicting"] == (HIT in calls and MISS in calls)
    assert found["score"] == {"active": 1, "inactive": 0, "inconclusive": None}[call]
    assert (found["reason"] is None) == (call != "inconclusive")


def test_a_score_is_the_active_share_with_what_it_rests_on(database: Database, glycerol: UUID) -> None:
    other = hits(glycerol, MMP, MISS, cell_type="HeLa")
    add(
        database,
        *hits(glycerol, AHR, HIT, HIT, MISS, potency=20.0, potency_type="AC50", potency_unit="uM"),
        *hits(glycerol, ER, MISS),
        *hits(glycerol, P53, OPEN),
        *other,
    )

    found = score(database, glycerol)

    assert found["score"] == pytest.approx(1 / 3)
    assert found["coverage"] == pytest.approx(3 / 4)
    assert found["confidence"] == pytest.approx(confidence(1, 2, (2 / 3 + 1 + 1) / 3))
    assert [found[name] for name in ("active", "inactive", "inconclusive", "conflicting")] == [1, 2, 1, 1]
    assert [(assay["name"], assay["hit_call"], assay["potency_um"]) for assay in found["assays"]] == [
        ("NR-AhR", "active", 20.0),
        ("NR-ER", "inactive", None),
        ("SR-MMP", "inactive", None),
        ("SR-p53", "inconclusive", None),
    ]


def test_more_assays_that_agree_make_a_score_surer(database: Database, glycerol: UUID) -> None:
    add(database, *hits(glycerol, AHR, MISS))
    alone = score(database, glycerol)["confidence"]
    add(database, *[hit for n in range(11) for hit in hits(glycerol, replace(ER, name=f"assay {n}"), MISS)])

    assert 0 < alone < score(database, glycerol)["confidence"] < 1
    assert score(database, glycerol)["confidence"] == pytest.approx(confidence(0, 12))


def test_a_score_of_one_endpoint_or_cell_type_rests_on_its_assays_alone(database: Database, glycerol: UUID) -> None:
    add(database, *hits(glycerol, AHR, HIT), *hits(glycerol, P53, MISS), *hits(glycerol, MMP, HIT))

    assert score(database, glycerol, "stress_response")["score"] == 0.5
    assert score(database, glycerol, None, "HepG2")["score"] == 1
    stressed = score(database, glycerol, "stress_response", "HepG2")
    assert (stressed["score"], stressed["coverage"], len(stressed["assays"])) == (1, 1, 1)
    elsewhere = score(database, glycerol, "nuclear_receptor", "HCT-116")
    assert (elsewhere["score"], elsewhere["coverage"], elsewhere["confidence"]) == (None, 0, 0)
    assert elsewhere["reason"]


def test_an_endpoint_that_does_not_exist_or_is_a_dose_is_refused(database: Database, glycerol: UUID) -> None:
    add(database, dose(glycerol, 12_600.0))

    for endpoint in ("nonesuch", "acute_oral_toxicity"):
        with pytest.raises(InvalidError):
            score(database, glycerol, endpoint)


def test_an_untested_molecule_has_no_score_and_a_reason(database: Database, glycerol: UUID) -> None:
    found = score(database, glycerol)

    assert (found["score"], found["coverage"], found["confidence"], found["assays"]) == (None, 0, 0, [])
    assert found["reason"] == "no hit call is stored for it here"
    assert ranked(database) == []


def test_doses_stand_beside_a_score_and_never_in_it(database: Database, glycerol: UUID) -> None:
    add(database, *[dose(glycerol, value) for value in (100.0, 300.0, 200.0)], dose(glycerol, 5000.0, ">"))
    add(database, *hits(glycerol, AHR, MISS))

    found = score(database, glycerol)

    assert (found["score"], found["coverage"], len(found["assays"])) == (0, 1, 1)
    (oral,) = found["context"]
    assert (oral["dose"], oral["unit"], oral["results"], oral["bounds"]) == ("LD50", "mg/kg", 4, 1)
    assert (oral["lowest"], oral["median"], oral["highest"]) == (100, 200, 300)
    assert profile(database, glycerol)["context"] == found["context"]


def test_a_profile_tells_by_endpoint_what_was_tested_active_and_how_potent(database: Database, glycerol: UUID) -> None:
    potent = {"potency_type": "AC50", "potency_unit": "uM"}
    add(
        database,
        *hits(glycerol, AHR, HIT, potency=30.0, **potent),
        *hits(glycerol, AHR, HIT, potency=20.0, **potent),
        *hits(glycerol, ER, HIT, potency=10.0, **potent),
        *hits(glycerol, P53, HIT, MISS, potency=5.0, **potent),
    )

    nuclear, stress = profile(database, glycerol)["endpoints"]

    assert (nuclear["endpoint"], nuclear["tested"], nuclear["active"], nuclear["results"]) == (
        "nuclear_receptor",
        2,
        2,
        3,
    )
    assert nuclear["potency"] == {"lowest_um": 10, "median_um": 15, "highest_um": 20}
    assert nuclear["cell_types"] == ["BG1", "HepG2"]
    assert (stress["inconclusive"], stress["conflicting"], stress["potency"]["lowest_um"]) == (1, 1, None)


def test_a_score_follows_what_is_added_removed_and_changed(
    database: Database, admin: psycopg.Connection, glycerol: UUID
) -> None:
    first, second = add(database, *hits(glycerol, AHR, HIT), *hits(glycerol, ER, MISS))
    assert score(database, glycerol)["score"] == 0.5

    with database.transaction(SERVICE) as session:
        ResultRepository(session).remove(second, None)
    assert score(database, glycerol)["score"] == 1

    admin.execute("UPDATE toxicity_results SET hit_call = 'inactive'")
    assert score(database, glycerol)["score"] == 0

    with database.transaction(SERVICE) as session:
        ResultRepository(session).remove(first, None)
    assert score(database, glycerol)["score"] is None
    assert admin.execute("SELECT count(*) FROM toxicity_scores").fetchone() == (0,)


def test_scores_go_with_their_molecule(database: Database, admin: psycopg.Connection, glycerol: UUID) -> None:
    add(database, *hits(glycerol, AHR, HIT, MISS))

    with database.transaction(SERVICE) as session:
        MoleculeRepository(session).remove(glycerol, None)

    assert admin.execute("SELECT count(*) FROM toxicity_scores").fetchone() == (0,)


def test_coverage_falls_when_there_are_more_assays_to_be_tested_in(
    database: Database, admin: psycopg.Connection, glycerol: UUID
) -> None:
    other = add_public_molecule(admin, "ethylene glycol")
    add(database, *hits(glycerol, AHR, HIT))
    assert score(database, glycerol)["coverage"] == 1

    add(database, *hits(other, ER, HIT), *hits(other, P53, HIT))

    assert score(database, glycerol)["coverage"] == pytest.approx(1 / 3)
    assert score(database, glycerol, "nuclear_receptor")["coverage"] == 0.5


def test_nobody_writes_a_score_by_hand(database: Database, glycerol: UUID) -> None:
    add(database, *hits(glycerol, AHR, HIT))

    for caller in (SERVICE, factories.user()):
        with pytest.raises(ForbiddenError), database.transaction(caller) as session:
            session.rows("UPDATE public.toxicity_scores SET score = 0", {})


PLACE_SQL = """
SELECT a.name, a.id AS assay_id, l.endpoint_id
FROM toxicity_assays AS a
JOIN assay_endpoints AS l ON l.assay_id = a.id
"""


def test_two_who_add_to_one_molecule_at_once_are_both_counted(
    urls: DatabaseUrls, database: Database, admin: psycopg.Connection, glycerol: UUID
) -> None:
    add(database, *hits(glycerol, AHR, HIT), *hits(glycerol, ER, HIT))
    places = {name: (assay, endpoint) for name, assay, endpoint in admin.execute(PLACE_SQL).fetchall()}

    def adding(name: str) -> list[tuple[str | sql.Composed, dict[str, object]]]:
        values: dict[str, object] = dict(zip(("assay_id", "endpoint_id"), places[name], strict=True))
        values |= {"molecule_id": glycerol, "hit_call": "inactive"}
        return [(insert("toxicity_results", values), values)]

    assert done_together(urls, adding("NR-AhR"), adding("NR-ER")) == (None, None)

    found = score(database, glycerol)
    assert (found["inconclusive"], found["conflicting"]) == (2, 2)


class TestRanking:
    """Molecules by score, for whoever sees them."""

    def test_the_highest_come_first_and_those_without_a_score_last(
        self, database: Database, admin: psycopg.Connection, glycerol: UUID
    ) -> None:
        glycol, methanol = (add_public_molecule(admin, name) for name in ("ethylene glycol", "methanol"))
        add(database, *hits(glycerol, AHR, MISS), *hits(glycol, AHR, HIT), *hits(methanol, AHR, OPEN))

        assert ranked(database) == [("ethylene glycol", 1), ("glycerol", 0), ("methanol", None)]
        assert ranked(database, order=(Sort("score"),)) == [("glycerol", 0), ("ethylene glycol", 1), ("methanol", None)]

    def test_it_narrows_to_an_endpoint_and_a_cell_type(
        self, database: Database, admin: psycopg.Connection, glycerol: UUID
    ) -> None:
        glycol = add_public_molecule(admin, "ethylene glycol")
        add(database, *hits(glycerol, AHR, MISS), *hits(glycerol, MMP, HIT), *hits(glycol, AHR, HIT))

        def narrowed(endpoint: str, cell_type: str) -> list[tuple[str, float | None]]:
            filters = (Filter("endpoint", "exact", endpoint), Filter("cell_type", "exact", cell_type))
            return ranked(database, filters=filters)

        assert narrowed("all", "all") == [("ethylene glycol", 1), ("glycerol", 0.5)]
        assert narrowed("nuclear_receptor", "all") == [("ethylene glycol", 1), ("glycerol", 0)]
        assert narrowed("stress_response", "HepG2") == [("glycerol", 1)]

    def test_private_results_change_no_strangers_answer(self, database: Database, world: World, glycerol: UUID) -> None:
        add(database, *hits(glycerol, AHR, MISS))
        before = [ranked(database, caller) for caller in (ANON, factories.user())]

        add(database, *hits(world.own, AHR, HIT), caller=world.caller)

        assert [ranked(database, caller) for caller in (ANON, factories.user())] == before
        assert ("private glycerol", 1) in ranked(database, world.caller)
        for reader in (score, profile):
            for stranger in (ANON, factories.user()):
                with pytest.raises(NotFoundError):
                    reader(database, world.own, caller=stranger)

    def test_a_score_is_withdrawn_with_its_molecule(
        self, database: Database, admin: psycopg.Connection, glycerol: UUID
    ) -> None:
        add(database, *hits(glycerol, AHR, HIT))
        assert ranked(database)

        admin.execute("UPDATE molecules SET is_public = false")

        assert ranked(database) == []
        assert ranked(database, SERVICE)


def test_a_molecule_that_nobody_has_is_not_found(database: Database) -> None:
    with pytest.raises(NotFoundError):
        profile(database, uuid4())
    with pytest.raises(NotFoundError):
        score(database, uuid4())
