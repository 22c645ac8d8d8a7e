"""Predictions of many mixtures over HTTP: accepted, shown to whoever asked, and run with no more rights than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.bodies import GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

FREEZING: dict[str, Any] = {"properties": ["freezing_point"], "models": ["osmotic_virial@2"]}
Jobs = Callable[[], list[tuple[str, int]]]


@pytest.fixture(autouse=True)
def glycerol(service: Api, models: None) -> str:
    """Give the id of a public molecule."""
    return str(service.post("/molecules", GLYCEROL).get_json()["id"])


def mixed(caller: Api, name: str = "a mixture", **fields: Any) -> str:
    component = {"molecule": "glycerol", "amount": 2.3, "unit": "mol/kg"}
    response = caller.post("/mixtures", {"name": name, "components": [component], **fields})
    assert response.status_code == 201, response.text
    return str(response.get_json()["id"])


def test_a_batch_is_accepted_run_and_shown(alice: Api, run_jobs: Callable[..., None]):
    mixtures = [mixed(alice) for _ in range(3)]
    accepted = alice.post(
        "/predictions/batch", {**FREEZING, "mixture_ids": mixtures, "conditions": {"temperature_k": 265}}
    )

    assert accepted.status_code == 202
    record = accepted.get_json()
    assert (record["state"], record["mixture_count"], record["done_count"]) == ("queued", 3, 0)
    assert accepted.headers["Location"] == f"/api/v1/predictions/batch/{record['id']}"
    run_jobs()
    shown = alice.get(accepted.headers["Location"].removeprefix("/api/v1")).get_json()
    assert (shown["state"], shown["done_count"], shown["added_count"], shown["refused"]) == ("finished", 3, 3, [])
    assert shown["created_by"] == str(alice.user_id)
    stored = alice.get("/predictions?model=osmotic_virial").get_json()["data"]
    assert {item["mixture_id"] for item in stored} == set(mixtures)
    assert {item["conditions"]["temperature_k"] for item in stored} == {265.0}


def test_a_batch_keeps_the_protocol_that_it_was_asked_about(alice: Api, run_jobs: Callable[..., None]):
    mixture = mixed(alice)
    steps = [{"duration_min": 1, "fraction": 0.5}, {"duration_min": 5}]
    conditions = {
        "temperature_k": 295,
        "cell_type": "human sperm",
        "protocol": {"steps": steps, "cell_diameter_um": 5, "inactive_volume_fraction": 0.4},
    }
    question = {"properties": ["cell_volume"], "conditions": conditions}
    batch = alice.post("/predictions/batch", {**question, "mixture_ids": [mixture]}).get_json()["id"]

    run_jobs()

    shown = alice.get(f"/predictions/batch/{batch}").get_json()
    assert (shown["state"], shown["added_count"], shown["refused"]) == ("finished", 1, [])
    (kept,) = alice.get("/predictions?property_type=cell_volume").get_json()["data"]
    again = alice.post(f"/mixtures/{mixture}/predictions", question).get_json()
    assert (again["existing"], again["data"][0]["id"]) == (1, kept["id"])
    assert kept["in_domain"]


def test_a_filter_takes_what_the_caller_sees_and_the_batch_what_it_may_change(
    alice: Api, bob: Api, service: Api, run_jobs: Callable[..., None]
):
    hers = mixed(alice, "mix one")
    public = mixed(service, "mix two")
    mixed(bob, "mix three")
    mixed(alice, "another")

    accepted = alice.post("/predictions/batch", {**FREEZING, "filter": {"name__startswith": "mix"}})

    assert accepted.get_json()["mixture_count"] == 2
    run_jobs()
    shown = alice.get(f"/predictions/batch/{accepted.get_json()['id']}").get_json()
    assert (shown["added_count"], shown["refused_count"]) == (1, 1)
    assert shown["refused"] == [{"mixture_id": public, "detail": "you may not change this mixture"}]
    assert [item["mixture_id"] for item in alice.get("/predictions").get_json()["data"]] == [hers]


def test_whoever_is_taken_out_of_the_team_before_it_runs_predicts_nothing(
    alice: Api, bob: Api, make_project: Callable[..., UUID], admin: Any, run_jobs: Callable[..., None]
):
    project = str(make_project(owner=alice, editor=bob))
    mixture = mixed(alice, project_id=project)
    batch = bob.post("/predictions/batch", {**FREEZING, "mixture_ids": [mixture]}).get_json()["id"]
    admin.execute("DELETE FROM team_members WHERE user_id = %s", (bob.user_id,))

    run_jobs()

    shown = bob.get(f"/predictions/batch/{batch}").get_json()
    assert (shown["added_count"], shown["refused_count"]) == (0, 1)
    assert alice.get("/predictions").get_json()["data"] == []


def test_nobody_else_sees_a_batch(alice: Api, bob: Api, anon: Api, service: Api):
    batch = alice.post("/predictions/batch", {**FREEZING, "mixture_ids": [mixed(alice)]}).get_json()["id"]

    problem(bob.get(f"/predictions/batch/{batch}"), 404)
    problem(anon.get(f"/predictions/batch/{batch}"), 401)
    assert service.get(f"/predictions/batch/{batch}").status_code == 200
    problem(alice.get(f"/predictions/batch/{uuid4()}"), 404)


def test_a_batch_needs_a_user_and_its_scope(anon: Api, scoped: Callable[[str], Api]):
    body = {**FREEZING, "mixture_ids": [str(uuid4())]}

    problem(anon.post("/predictions/batch", body), 401)
    problem(scoped("molecules:write").post("/predictions/batch", body), 403, "scope_missing")
    assert scoped("predictions:write").post("/predictions/batch", body).status_code == 202


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ""),
        ({"mixture_ids": [str(UUID(int=1))], "filter": {}}, ""),
        ({"mixture_ids": []}, "/mixture_ids"),
        ({"mixture_ids": ["x"]}, "/mixture_ids/0"),
        ({"mixture_ids": [str(UUID(int=n)) for n in range(10_001)]}, "/mixture_ids"),
        ({"filter": {"name": 3}}, "/filter/name"),
        ({"filter": {"name": "nothing is called this"}}, "/filter"),
        ({"filter": {"created_at__gt": "yesterday"}}, "/filter/created_at__gt"),
        ({"mixture_ids": [str(UUID(int=1))], "models": ["no such model"]}, "/models/0"),
    ],
    ids=["neither", "both", "none", "no id", "too many", "no text", "nobody", "no time", "no model"],
)
def test_what_cannot_be_asked_is_refused_with_its_place(alice: Api, jobs: Jobs, body: dict[str, Any], where: str):
    response = alice.post("/predictions/batch", body)

    assert pointers(response) == [where]
    assert jobs() == []


@pytest.mark.parametrize("name", ["no_such_field", "name__no_such_operator", "order_by", "limit", "q"])
def test_a_filter_takes_only_what_filters(alice: Api, name: str):
    response = alice.post("/predictions/batch", {"filter": {name: "1"}})

    assert pointers(response) == ["/filter"]
    known = response.get_json()["detail"].partition("known: ")[2].split(", ")
    assert name not in known


def test_a_repeated_request_asks_once_and_a_dry_run_not_at_all(alice: Api, jobs: Jobs):
    body = {**FREEZING, "mixture_ids": [mixed(alice)]}

    dry = alice.post("/predictions/batch", body, headers={"Prefer": "tx=rollback"})
    assert (dry.status_code, dry.headers["Preference-Applied"], jobs()) == (202, "tx=rollback", [])
    first, second = (alice.post("/predictions/batch", body, headers={"Idempotency-Key": "k"}) for _ in range(2))

    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.get_json() == second.get_json()
    assert first.headers["Location"] == second.headers["Location"]
    assert len(jobs()) == 1
