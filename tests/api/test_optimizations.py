"""Searches as jobs over HTTP: accepted, shown to whoever asked, cancelled, and the same as a search at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.api.bodies import DMSO, ETHANOL, GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.jobs import wait_until

PATH = "/mixtures/optimize"
LISTED = "/mixtures/optimizations"
LATER = {"Prefer": "respond-async"}
MOLECULES = [
    GLYCEROL,
    DMSO,
    ETHANOL,
    {"name": "Ethylene glycol", "smiles": "OCCO"},
    {"name": "Propylene glycol", "smiles": "CC(O)CO"},
    {"name": "Methanol", "smiles": "CO"},
    {"name": "D-Sorbitol", "smiles": "OC[C@H](O)[C@@H](O)[C@H](O)[C@H](O)CO"},
]
SHORT: dict[str, Any] = {
    "candidates": [{"molecule": "glycerol", "at_most": 8}, {"molecule": "Dimethyl sulfoxide", "at_most": 8}],
    "conditions": {"temperature_k": 298.15, "exposure_min": 30, "cell_type": "endothelial"},
    "constraints": [{"quantity": "total_molality", "at_least": 5}],
}
LONG: dict[str, Any] = {
    "candidates": [{"molecule": body["name"], "at_most": 2} for body in MOLECULES],
    "objective": "glass_transition_temperature",
    "constraints": [{"quantity": "total_molality", "at_most": 8}],
}
Jobs = Callable[[], list[tuple[str, int]]]
PROGRESS_SQL = "SELECT generation_count FROM private.optimizations"


@pytest.fixture(autouse=True)
def molecules(service: Api) -> None:
    """Put in public molecules, of which a model of the glass transition knows all."""
    for body in MOLECULES:
        assert service.post("/molecules", body).status_code == 201


def asked(caller: Api, body: dict[str, Any] = SHORT, **headers: str) -> str:
    response = caller.post(PATH, body, headers=LATER | headers)
    assert response.status_code == 202, response.text
    return f"{LISTED}/{response.get_json()['id']}"


def test_a_search_later_finds_what_a_search_at_once_does(alice: Api, run_jobs: Callable[..., None]):
    accepted = alice.post(PATH, SHORT, headers=LATER)

    assert accepted.status_code == 202
    assert accepted.headers["Preference-Applied"] == "respond-async"
    record = accepted.get_json()
    where = f"{LISTED}/{record['id']}"
    assert accepted.headers["Location"] == f"/api/v1{where}"
    assert (record["state"], record["done_fraction"], record["result"], record["failure"]) == ("queued", 0, None, None)
    assert [item["molecule"] for item in record["request"]["candidates"]] == ["glycerol", "Dimethyl sulfoxide"]
    run_jobs()
    shown = alice.get(where).get_json()
    assert (shown["state"], shown["done_fraction"], shown["created_by"]) == ("finished", 1, str(alice.user_id))
    assert shown["generation_count"] > 0
    assert shown["result"] == alice.post(PATH, SHORT).get_json()
    assert shown["best_objective"] == pytest.approx(shown["result"]["front"][0]["predictions"][0]["value"], abs=1e-6)
    # What is shown as the request is one.
    again = asked(alice, shown["request"])
    run_jobs()
    assert alice.get(again).get_json()["result"] == shown["result"]


def test_bounds_far_beyond_the_models_give_the_same_later_and_at_once(alice: Api, run_jobs: Callable[..., None]):
    # Of ethanol the models of toxicity know nothing.
    wide = [{**item, "at_most": 100} for item in [*SHORT["candidates"], {"molecule": "ethanol"}]]
    where = asked(alice, {**SHORT, "candidates": wide})

    run_jobs()

    at_once = alice.post(PATH, {**SHORT, "candidates": wide})
    assert at_once.status_code == 200, at_once.text
    assert alice.get(where).get_json()["result"] == at_once.get_json()
    assert at_once.get_json()["front"][-1]["total_molality_mol_kg"] == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize(
    ("preference", "status"),
    [
        ("respond-async, wait=10", 202),
        ("wait=10; x=y, Respond-Async; x=y", 202),
        ('respond-async=""', 202),
        ("respond-asynchronously", 200),
        ("wait=10", 200),
    ],
)
def test_a_preference_is_read_as_its_standard_says(alice: Api, preference: str, status: int):
    assert alice.post(PATH, SHORT, headers={"Prefer": preference}).status_code == status


def test_more_molecules_than_are_searched_at_once_make_a_job(alice: Api, jobs: Jobs):
    accepted = alice.post(PATH, LONG)

    assert accepted.status_code == 202
    assert "Preference-Applied" not in accepted.headers
    assert jobs() == [("todo", 0)]


def test_what_nothing_meets_is_named_when_the_search_has_ended(alice: Api, run_jobs: Callable[..., None], jobs: Jobs):
    constraints = [*SHORT["constraints"], {"quantity": "cell_survival", "at_least": 0.999}]
    where = asked(alice, {**SHORT, "constraints": constraints})

    run_jobs()

    shown = alice.get(where).get_json()
    assert (shown["state"], shown["result"], shown["failure"]["code"]) == ("failed", None, "infeasible")
    (error,) = shown["failure"]["errors"]
    assert error["pointer"] == "/constraints/1"
    assert error["detail"].startswith("cell_survival comes to 0.9")
    # The job did what it was to do.
    assert jobs() == [("succeeded", 1)]


def test_a_search_under_way_shows_how_far_it_is_and_breaks_off_when_it_is_deleted(
    alice: Api, admin: psycopg.Connection, run_jobs: Callable[..., None], jobs: Jobs
):
    where = asked(alice, LONG)
    seen: list[dict[str, Any]] = []
    deleted_s: list[float] = []

    # The worker's signals are the main thread's.
    def look_and_delete() -> None:
        wait_until(lambda: admin.execute(PROGRESS_SQL).fetchall()[0][0] > 1)
        seen.append(alice.get(where).get_json())
        assert alice.delete(where).status_code == 204
        deleted_s.append(time.monotonic())

    looking = threading.Thread(target=look_and_delete)
    looking.start()
    run_jobs()
    looking.join()

    assert time.monotonic() - deleted_s[0] < 5
    (shown,) = seen
    assert (shown["state"], shown["result"]) == ("running", None)
    assert 0 < shown["done_fraction"] < 1
    assert shown["best_objective"] > 100
    problem(alice.get(where), 404)
    assert jobs() == [("succeeded", 1)]


def test_a_search_that_is_deleted_while_it_waits_is_never_begun(alice: Api, run_jobs: Callable[..., None], jobs: Jobs):
    where = asked(alice)

    assert alice.delete(where).status_code == 204

    run_jobs()
    assert jobs() == [("cancelled", 0)]
    problem(alice.delete(where), 404)


def test_a_version_that_is_said_has_to_be_the_search_s(
    alice: Api, bob: Api, anon: Api, admin: psycopg.Connection, jobs: Jobs
):
    accepted = alice.post(PATH, SHORT, headers=LATER)
    where = f"{LISTED}/{accepted.get_json()['id']}"
    first = accepted.headers["ETag"]
    assert alice.get(where).headers["ETag"] == first
    admin.execute("UPDATE private.optimizations SET done_fraction = 0.5")

    problem(alice.delete(where, headers={"If-Match": first}), 412)
    problem(alice.delete(where, headers={"If-Match": "no tag"}), 412)
    problem(bob.delete(where, headers={"If-Match": first}), 404)
    assert jobs() == [("todo", 0)]
    assert alice.delete(where, headers={"If-Match": alice.get(where).headers["ETag"]}).status_code == 204
    assert alice.delete(asked(alice), headers={"If-Match": "*"}).status_code == 204
    described = anon.get("//openapi.json").get_json()["paths"]
    deletion = described["/api/v1/mixtures/optimizations/{optimization_id}"]["delete"]
    (stated,) = [item for item in deletion["parameters"] if item["name"] == "If-Match"]
    assert not stated["required"]
    assert "412" in deletion["responses"]
    assert "428" not in deletion["responses"]
    assert "ETag" in described["/api/v1/mixtures/optimize"]["post"]["responses"]["202"]["headers"]


def test_nobody_else_sees_lists_or_deletes_a_search(alice: Api, bob: Api, anon: Api, service: Api, jobs: Jobs):
    where, his = asked(alice), asked(bob)

    problem(bob.get(where), 404)
    problem(bob.delete(where), 404)
    problem(anon.get(where), 401)
    problem(anon.get(LISTED), 401)
    problem(alice.get(f"{LISTED}/{uuid4()}"), 404)
    assert [item["id"] for item in alice.get(LISTED).get_json()["data"]] == [where.rpartition("/")[2]]
    listed = {item["id"] for item in service.get(f"{LISTED}?state=queued").get_json()["data"]}
    assert listed == {where.rpartition("/")[2], his.rpartition("/")[2]}
    assert jobs() == [("todo", 0)] * 2


def test_searches_take_the_scope_of_predictions(scoped: Callable[[str], Api], anon: Api):
    other = scoped("molecules:write")

    problem(anon.post(PATH, SHORT, headers=LATER), 401)
    problem(other.post(PATH, SHORT, headers=LATER), 403, "scope_missing")
    problem(other.post(PATH, LONG), 403, "scope_missing")
    problem(other.post(PATH, SHORT), 403, "scope_missing")
    where = asked(scoped("predictions:write"))
    problem(other.delete(where), 403, "scope_missing")
    assert other.get(where).status_code == 200


def test_what_cannot_be_searched_is_refused_before_it_waits(alice: Api, jobs: Jobs):
    unknown = [*LONG["candidates"], {"molecule": "unobtainium", "at_most": 1}, LONG["candidates"][0]]

    assert pointers(alice.post(PATH, {**LONG, "candidates": unknown})) == [
        "/candidates/7/molecule",
        "/candidates/8/molecule",
    ]
    assert pointers(alice.post(PATH, {**SHORT, "objective": "beauty"}, headers=LATER)) == ["/objective"]
    assert jobs() == []


def test_a_repeated_request_asks_once_and_a_dry_run_not_at_all(alice: Api, jobs: Jobs):
    dry = alice.post(PATH, SHORT, headers={"Prefer": "respond-async, tx=rollback"})
    assert (dry.status_code, dry.headers.getlist("Preference-Applied")) == (202, ["respond-async", "tx=rollback"])
    assert jobs() == []
    first, second = (alice.post(PATH, SHORT, headers=LATER | {"Idempotency-Key": "k"}) for _ in range(2))

    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.get_json() == second.get_json()
    assert first.headers["Location"] == second.headers["Location"]
    assert len(jobs()) == 1
    problem(alice.post(PATH, LONG, headers={"Idempotency-Key": "k"}), 422, "idempotency_key_reused")


def test_an_answer_at_once_is_kept_under_its_key(alice: Api):
    first, second = (alice.post(PATH, SHORT, headers={"Idempotency-Key": "k"}) for _ in range(2))

    assert (first.status_code, second.headers["Idempotent-Replayed"]) == (200, "true")
    assert second.get_json() == first.get_json()


def test_a_user_has_no_more_jobs_waiting_than_the_limits_say(alice: Api, bob: Api, service: Api, jobs: Jobs):
    most = alice.get("/limits").get_json()["jobs_of_one_user"]
    searches = [asked(alice) for _ in range(most)]

    refused = problem(alice.post(PATH, SHORT, headers=LATER), 409)

    assert str(most) in refused["detail"]
    component = {"molecule": "glycerol", "amount": 2.3, "unit": "mol/kg"}
    mixture = alice.post("/mixtures", {"name": "a mixture", "components": [component]}).get_json()["id"]
    problem(alice.post("/predictions/batch", {"mixture_ids": [mixture]}), 409)
    assert len(jobs()) == most
    asked(bob)
    alice.delete(searches[0])
    asked(alice)
    for _ in range(most + 1):
        asked(service)
