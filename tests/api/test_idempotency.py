"""Idempotency-Key: one effect and one answer however often a POST is sent; and dry runs, which have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from app.services.minting import issue_token
from tests.api.bodies import DMSO, ETHANOL, GLYCEROL
from tests.api.problems import problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

KEY = {"Idempotency-Key": "a-key-of-mine"}
KEPT_SQL = "SELECT caller, key, status FROM private.idempotency_keys ORDER BY caller"


def count(admin: psycopg.Connection) -> int:
    (number,) = admin.execute("SELECT count(*) FROM molecules").fetchone() or (-1,)
    return int(number)


def test_the_same_post_again_gets_the_first_answer_and_has_no_second_effect(alice: Api, admin: psycopg.Connection):
    first = alice.post("/molecules", DMSO, headers=KEY)

    again = alice.post("/molecules", DMSO, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert count(admin) == 1


def test_a_replayed_answer_still_bears_its_own_request_id_and_the_usual_headers(alice: Api):
    first = alice.post("/molecules", DMSO, headers=KEY)

    again = alice.post("/molecules", DMSO, headers=KEY)

    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert again.headers["Cache-Control"] == "private, no-store"
    assert again.headers["X-Content-Type-Options"] == "nosniff"


def test_the_answer_stays_the_first_even_when_the_record_has_changed_or_is_gone(alice: Api):
    first = alice.post("/molecules", DMSO, headers=KEY)
    address = first.headers["Location"].removeprefix("/api/v1")
    alice.patch(address, {"name": "renamed"}, headers={"If-Match": "*"})
    alice.delete(address, headers={"If-Match": "*"})

    assert alice.post("/molecules", DMSO, headers=KEY).data == first.data


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/molecules", ETHANOL),
        ("/molecules", {**DMSO, "name": "DMSO"}),
        ("/molecules/batch", [DMSO]),
        ("/molecules/batch?atomic=true", [DMSO]),
    ],
)
def test_the_same_key_with_another_request_is_422(alice: Api, admin: psycopg.Connection, path: str, body: Any):
    alice.post("/molecules", DMSO, headers=KEY)

    problem(alice.post(path, body, headers=KEY), 422, "idempotency_key_reused")

    assert count(admin) == 1


def test_a_batch_is_kept_with_all_its_results(alice: Api):
    first = alice.post("/molecules/batch", [DMSO, {"name": "broken"}, ETHANOL], headers=KEY)

    again = alice.post("/molecules/batch", [DMSO, {"name": "broken"}, ETHANOL], headers=KEY)

    assert again.get_json() == first.get_json()
    assert again.get_json()["added"] == 2
    assert again.headers["Idempotent-Replayed"] == "true"


def test_an_import_is_kept_too(service: Api, admin: psycopg.Connection):
    body = {"PropertyTable": {"Properties": [{"CID": 679, "SMILES": "CS(=O)C"}]}}
    first = service.post("/imports/records?source=pubchem", body, headers=KEY)

    again = service.post("/imports/records?source=pubchem", body, headers=KEY)

    assert again.data == first.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (1,)


def test_while_the_first_is_still_running_the_second_is_409_and_may_try_again(alice: Api, admin: psycopg.Connection):
    with admin.transaction():
        admin.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s || ' ' || %s, 0))",
            (str(alice.user_id), KEY["Idempotency-Key"]),
        )
        response = alice.post("/molecules", DMSO, headers=KEY)

    problem(response, 409, "request_in_progress")
    assert int(response.headers["Retry-After"]) >= 1
    assert alice.post("/molecules", DMSO, headers=KEY).status_code == 201


def test_keys_belong_to_their_caller(alice: Api, bob: Api, service: Api, admin: psycopg.Connection):
    answers = [caller.post("/molecules", DMSO, headers=KEY) for caller in (alice, bob, service)]

    assert [response.status_code for response in answers] == [201, 201, 201]
    assert len({response.get_json()["id"] for response in answers}) == 3
    kept = [caller for caller, *_ in admin.execute(KEPT_SQL).fetchall()]
    assert sorted(kept) == sorted([str(alice.user_id), str(bob.user_id), "service_role"])


def test_two_tokens_of_one_user_share_their_keys(alice: Api):
    first = alice.post("/molecules", DMSO, headers=KEY)
    later = Api(alice.client, issue_token(SECRET, role="authenticated", ttl_s=60, sub=alice.user_id))

    assert later.post("/molecules", DMSO, headers=KEY).data == first.data


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "no structure"}, 422),
        ({"name": "x", "smiles": "not a structure"}, 422),
        ({**DMSO, "is_public": True}, 403),
        ({**DMSO, "properties": [{"property_type": "no_such", "value": 1, "unit": "K"}]}, 422),
    ],
)
def test_a_refusal_keeps_nothing_so_that_the_key_is_free_for_the_mended_request(
    alice: Api, admin: psycopg.Connection, body: dict[str, Any], status: int
):
    problem(alice.post("/molecules", body, headers=KEY), status)

    assert admin.execute(KEPT_SQL).fetchall() == []
    assert alice.post("/molecules", DMSO, headers=KEY).status_code == 201


def test_a_conflict_keeps_nothing(alice: Api, admin: psycopg.Connection):
    alice.post("/molecules", DMSO)

    problem(alice.post("/molecules", DMSO, headers=KEY), 409, "molecule_exists")

    assert admin.execute(KEPT_SQL).fetchall() == []


def test_a_failure_after_the_effect_keeps_neither_effect_nor_key(alice: Api, admin: psycopg.Connection):
    admin.execute(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57014'; END $$"
    )
    admin.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON private.idempotency_keys FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    try:
        problem(alice.post("/molecules", DMSO, headers=KEY), 503)
    finally:
        admin.execute("DROP FUNCTION refuse() CASCADE")

    assert count(admin) == 0
    assert alice.post("/molecules", DMSO, headers=KEY).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "k\x7f", "schlüssel", "a\tb", "\x01"])
def test_a_key_that_is_none_is_400(alice: Api, admin: psycopg.Connection, key: str):
    problem(alice.post("/molecules", DMSO, headers={"Idempotency-Key": key}), 400, "invalid_idempotency_key")

    assert count(admin) == 0


@pytest.mark.parametrize("key", ["x", "x" * 255, "'; DROP TABLE molecules; --", "%s %(key)s", '"quoted"', "a,b"])
def test_any_printable_key_will_do(alice: Api, key: str):
    first = alice.post("/molecules", DMSO, headers={"Idempotency-Key": key})

    assert alice.post("/molecules", DMSO, headers={"Idempotency-Key": key}).data == first.data


def test_the_key_of_an_anonymous_caller_is_ignored(anon: Api, admin: psycopg.Connection):
    response = anon.post("/molecules/lookup", {"cids": [679]}, headers=KEY)

    assert response.status_code == 200
    assert admin.execute(KEPT_SQL).fetchall() == []


@pytest.mark.parametrize("key", [KEY["Idempotency-Key"], ""])
def test_a_key_on_anything_but_a_post_is_ignored(alice: Api, admin: psycopg.Connection, key: str):
    address = alice.post("/molecules", DMSO).headers["Location"].removeprefix("/api/v1")

    for name in ("one", "two"):
        headers = {"Idempotency-Key": key, "If-Match": "*"}
        assert alice.patch(address, {"name": name}, headers=headers).get_json()["name"] == name

    assert admin.execute(KEPT_SQL).fetchall() == []


def test_a_key_older_than_a_day_is_forgotten(alice: Api, admin: psycopg.Connection):
    alice.post("/molecules", DMSO, headers=KEY)
    admin.execute("UPDATE private.idempotency_keys SET created_at = created_at - interval '25 hours'")

    response = alice.post("/molecules", ETHANOL, headers=KEY)

    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers
    assert alice.post("/molecules", ETHANOL, headers=KEY).data == response.data


def test_a_key_of_23_hours_is_still_known(alice: Api, admin: psycopg.Connection):
    first = alice.post("/molecules", DMSO, headers=KEY)
    admin.execute("UPDATE private.idempotency_keys SET created_at = created_at - interval '23 hours'")

    assert alice.post("/molecules", DMSO, headers=KEY).data == first.data


# Dry runs.

DRY = {"Prefer": "tx=rollback"}


def writes(address: str) -> list[tuple[str, str, Any]]:
    return [
        ("POST", "/molecules", GLYCEROL),
        ("POST", "/molecules/batch", [GLYCEROL, ETHANOL]),
        ("PATCH", address, {"name": "renamed"}),
        ("PATCH", address, {"identifiers": []}),
        ("PUT", f"{address}/properties", {"properties": []}),
        ("PUT", f"{address}/properties/density", {"values": [{"value": 1, "unit": "kg/m3"}]}),
        ("DELETE", address, None),
    ]


@pytest.mark.parametrize("number", range(7))
def test_a_dry_run_answers_as_if_done_and_keeps_nothing(
    alice: Api, make_user: Callable[[], Api], admin: psycopg.Connection, number: int
):
    address = alice.post("/molecules", {**DMSO, "synonyms": ["DMSO"]}).headers["Location"].removeprefix("/api/v1")
    before = alice.get(f"{address}?detail=full").get_json()
    method, path, body = writes(address)[number]
    arguments = {} if body is None else {"json": body}

    dry = alice.request(method, path, headers={**DRY, "If-Match": "*"}, **arguments)

    assert dry.headers["Preference-Applied"] == "tx=rollback"
    assert alice.get(f"{address}?detail=full").get_json() == before
    assert count(admin) == 1
    real = alice.request(method, path, headers={"If-Match": "*"}, **arguments)
    assert (dry.status_code, dry.headers.get("Content-Type")) == (real.status_code, real.headers.get("Content-Type"))
    assert "Preference-Applied" not in real.headers


def test_a_dry_run_of_an_import_keeps_neither_molecules_nor_run(service: Api, admin: psycopg.Connection):
    body = {"PropertyTable": {"Properties": [{"CID": 679, "SMILES": "CS(=O)C"}]}}

    response = service.post("/imports/records?source=pubchem", body, headers=DRY)

    assert response.get_json()["added"] == 1
    assert response.headers["Preference-Applied"] == "tx=rollback"
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (0,)
    assert count(admin) == 0


@pytest.mark.parametrize(
    "value",
    [
        "tx=rollback",
        "TX=Rollback",
        "tx = rollback",
        "return=minimal, tx=rollback",
        "tx=rollback,respond-async",
        'tx="rollback"',
        "tx=rollback; a=b",
    ],
)
def test_a_dry_run_may_be_asked_for_in_any_spelling(alice: Api, admin: psycopg.Connection, value: str):
    response = alice.post("/molecules", DMSO, headers={"Prefer": value})

    assert response.headers["Preference-Applied"] == "tx=rollback"
    assert count(admin) == 0


@pytest.mark.parametrize("value", ["tx=commit", "rollback", "tx=rollback2", ""])
def test_any_other_preference_is_passed_over(alice: Api, admin: psycopg.Connection, value: str):
    response = alice.post("/molecules", DMSO, headers={"Prefer": value})

    assert "Preference-Applied" not in response.headers
    assert count(admin) == 1


def test_a_dry_run_refuses_what_the_real_one_would(alice: Api, bob: Api):
    address = alice.post("/molecules", DMSO).headers["Location"].removeprefix("/api/v1")

    problem(alice.post("/molecules", DMSO, headers=DRY), 409, "molecule_exists")
    problem(alice.post("/molecules", {"name": "x", "smiles": "?"}, headers=DRY), 422)
    problem(alice.post("/molecules", {**ETHANOL, "is_public": True}, headers=DRY), 403)
    problem(bob.patch(address, {"name": "x"}, headers={**DRY, "If-Match": "*"}), 404)
    problem(alice.patch(address, {"name": "x"}, headers=DRY), 428)


def test_a_dry_run_under_a_key_does_not_use_the_key_up(alice: Api, admin: psycopg.Connection):
    dry = alice.post("/molecules", DMSO, headers=DRY | KEY)
    real = alice.post("/molecules", DMSO, headers=KEY)

    assert (dry.status_code, real.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in real.headers
    assert count(admin) == 1


def test_a_dry_run_leaves_no_profile_of_a_new_user(alice: Api, admin: psycopg.Connection):
    alice.post("/molecules", DMSO, headers=DRY)

    assert admin.execute("SELECT count(*) FROM user_profiles").fetchone() == (0,)
