"""What a prediction must be, who sees it with its subject, and who may store or remove one."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from database.urls import DatabaseUrls
from tests.database.acting import REFUSED, acting
from tests.database.rows import (
    Row,
    Scene,
    add,
    add_mixture,
    add_molecule,
    add_scene,
    broken_rule,
    done_together,
    insert,
    readers,
)
from tests.database.worlds import add_references

ABSENT = UUID("00000000-0000-0000-0000-000000000001")
"""No record has this key. A random one would give each test worker other names of tests."""

KINDS = ("mixture_id", "molecule_id")
HOME = {"owner", "editor", "viewer"}
GUESTS = {"guest_owner", "guest_editor", "guest_viewer"}
EVERYBODY = HOME | GUESTS | {"stranger", "anon"}
PUBLISH_SQL = {
    "mixture_id": "UPDATE public.mixtures SET is_public = true WHERE id = %(id)s",
    "molecule_id": "UPDATE public.molecules SET is_public = true WHERE id = %(id)s",
}
WITHDRAW_SQL = {kind: statement.replace("true", "false") for kind, statement in PUBLISH_SQL.items()}
MOVE_SQL = {
    kind: statement.replace("is_public = true", "project_id = %(project)s") for kind, statement in PUBLISH_SQL.items()
}
SHARE_SQL = {
    "mixture_id": "INSERT INTO public.project_mixtures (project_id, mixture_id) VALUES (%(project)s, %(id)s)",
    "molecule_id": "INSERT INTO public.project_molecules (project_id, molecule_id) VALUES (%(project)s, %(id)s)",
}
UNSHARE_SQL = {
    "mixture_id": "DELETE FROM public.project_mixtures WHERE mixture_id = %(id)s",
    "molecule_id": "DELETE FROM public.project_molecules WHERE molecule_id = %(id)s",
}
DELETE_SQL = {
    "mixture_id": "DELETE FROM public.mixtures WHERE id = %(id)s",
    "molecule_id": "DELETE FROM public.molecules WHERE id = %(id)s",
}
OUTSIDE = {"in_domain": False, "value": None, "reason": "past the eutectic"}
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams that share nothing yet."""
    return add_scene(admin)


@pytest.fixture
def method(admin: psycopg.Connection, emptied: None) -> UUID:
    """Give a calculation method."""
    return add_references(admin)["method"]


def _subject(admin: psycopg.Connection, kind: str, name: str = "glycerol", **values: Any) -> UUID:
    """Store a molecule, or a mixture of that molecule in public."""
    if kind == "molecule_id":
        return add_molecule(admin, name, **values)
    return add_mixture(admin, add_molecule(admin, name, is_public=True), **values)


def _prediction(kind: str, subject: UUID, method: UUID, **changes: object) -> Row:
    values: dict[str, object] = {
        kind: subject,
        "property_type": "freezing_point",
        "method_id": method,
        "value": 265.2,
        "unit": "K",
        "in_domain": True,
        "inputs_hash": "0" * 64,
    }
    return "predictions", values | changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"standard_uncertainty": 0.5, "reason": "coefficients published, unchecked"}, None),
        (OUTSIDE, None),
        (OUTSIDE | {"reason": None}, "predictions_in_domain_check"),
        (OUTSIDE | {"reason": ""}, "predictions_reason_check"),
        (OUTSIDE | {"value": 265.2}, "predictions_in_domain_check"),
        (OUTSIDE | {"standard_uncertainty": 0.5}, "predictions_uncertain_value_check"),
        ({"value": None}, "predictions_in_domain_check"),
        ({"value": None, "reason": "lost"}, "predictions_in_domain_check"),
        ({"value": NAN}, "predictions_value_check"),
        ({"value": INFINITE}, "predictions_value_check"),
        ({"value": -INFINITE}, "predictions_value_check"),
        ({"standard_uncertainty": -0.1}, "predictions_standard_uncertainty_check"),
        ({"standard_uncertainty": NAN}, "predictions_standard_uncertainty_check"),
        ({"standard_uncertainty": INFINITE}, "predictions_standard_uncertainty_check"),
        ({"unit": ""}, "predictions_unit_check"),
        ({"conditions": "[]"}, "predictions_conditions_check"),
        ({"conditions": '{"temperature_k": 298.15}'}, None),
        ({"inputs_hash": "not a hash"}, "predictions_inputs_hash_check"),
        ({"property_type": "happiness"}, "predictions_property_type_fkey"),
        ({"method_id": ABSENT}, "predictions_method_id_fkey"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_prediction_keeps_the_rules_of_its_columns(  # noqa: PLR0913, PLR0917 - one axis each
    admin: psycopg.Connection, scene: Scene, method: UUID, kind: str, changes: dict[str, object], rule: str | None
) -> None:
    assert broken_rule(admin, _prediction(kind, _subject(admin, kind), method, **changes)) == rule


def test_a_prediction_has_one_subject(admin: psycopg.Connection, scene: Scene, method: UUID) -> None:
    molecule = add_molecule(admin)
    mixture = add_mixture(admin, molecule)

    both = _prediction("mixture_id", mixture, method, molecule_id=molecule)
    neither = _prediction("mixture_id", mixture, method, mixture_id=None)

    assert [broken_rule(admin, both), broken_rule(admin, neither)] == ["predictions_subject_check"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_inputs_are_predicted_once(admin: psycopg.Connection, scene: Scene, method: UUID, kind: str) -> None:
    subject, other, version = _subject(admin, kind), add_molecule(admin, "formamide"), add_references(admin)["method"]
    first = _prediction(kind, subject, method)

    again = broken_rule(admin, first, _prediction(kind, subject, method, value=260.0))
    beside = broken_rule(
        admin,
        first,
        _prediction(kind, subject, method, inputs_hash="1" * 64),
        _prediction(kind, subject, method, property_type="osmolality", unit="osmol/kg"),
        _prediction(kind, subject, version),
        _prediction("molecule_id", other, method),
    )

    assert (again, beside) == ("predictions_subject_property_type_method_id_inputs_hash_key", None)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": "2"}, None),
        ({"name": "other_model"}, None),
        ({}, "calculation_methods_name_version_key"),
        ({"name": "Not a word"}, "calculation_methods_name_check"),
        ({"version": ""}, "calculation_methods_version_check"),
        ({"parameters": "[1]", "version": "2"}, "calculation_methods_parameters_check"),
    ],
    ids=str,
)
def test_a_method_is_its_name_and_version(
    admin: psycopg.Connection, emptied: None, changes: dict[str, object], rule: str | None
) -> None:
    first = {"name": "warner_2022", "version": "1", "description": "toxicity kinetics"}

    assert broken_rule(admin, ("calculation_methods", first), ("calculation_methods", first | changes)) == rule


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_is_seen_with_its_subject(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, method: UUID, kind: str
) -> None:
    subject = _subject(admin, kind, project_id=scene.home)
    table, values = _prediction(kind, subject, method)
    add(admin, table, **values)

    for statement, audience in (
        (None, HOME),
        (SHARE_SQL, HOME | GUESTS),
        (UNSHARE_SQL, HOME),
        (PUBLISH_SQL, EVERYBODY),
        (WITHDRAW_SQL, HOME),
        (MOVE_SQL, GUESTS),
    ):
        if statement is not None:
            admin.execute(statement[kind].encode(), {"id": subject, "project": scene.guest})
        assert readers(urls, scene, "predictions", kind, subject) == audience, statement


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_stored_while_its_subject_is_published_is_public(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, method: UUID, kind: str
) -> None:
    subject = _subject(admin, kind, project_id=scene.home)
    table, values = _prediction(kind, subject, method)
    adds, publishes = [(insert(table, values), values)], [(PUBLISH_SQL[kind], {"id": subject})]

    assert done_together(urls, adds, publishes) == (None, None)

    assert readers(urls, scene, "predictions", kind, subject) == EVERYBODY


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner", "stranger"])
@pytest.mark.parametrize(("is_public", "allowed"), [(False, {"owner", "editor"}), (True, {"owner"})])
def test_a_prediction_is_stored_and_removed_by_whoever_may_change_its_subject(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    method: UUID,
    kind: str,
    writer: str,
    *,
    is_public: bool,
    allowed: set[str],
) -> None:
    subject, caller = _subject(admin, kind, project_id=scene.home, is_public=is_public), scene.members[writer]
    kept = _prediction(kind, subject, method)[1]
    add(admin, "predictions", **kept)
    wanted = kept | {"inputs_hash": "1" * 64, "created_by": caller.user_id}

    with acting(urls, caller) as member:
        added = member.attempt(insert("predictions", wanted), wanted)
        changed = member.attempt("UPDATE public.predictions SET value = 0")
        removed = member.attempt("DELETE FROM public.predictions")

    assert (added, removed) == ((1, 2) if writer in allowed else (REFUSED, 0))
    assert changed == REFUSED


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_predicts_for_a_public_record_that_is_not_theirs_and_the_service_does(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, method: UUID, kind: str
) -> None:
    stranger = scene.members["stranger"]
    public = _subject(admin, kind, is_public=True)
    own = _subject(admin, kind, "methanol", created_by=stranger.user_id)

    with acting(urls, stranger) as member:
        outcomes = []
        for subject in (public, own, uuid4()):
            table, values = _prediction(kind, subject, method, created_by=stranger.user_id)
            outcomes.append(member.attempt(insert(table, values), values))

    assert outcomes == [REFUSED, 1, REFUSED]
    assert broken_rule(admin, _prediction(kind, public, method)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_subject_does_not_open_the_first(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, method: UUID, kind: str
) -> None:
    stranger = scene.members["stranger"]
    theirs = _subject(admin, kind, project_id=scene.home)
    (other,) = set(KINDS) - {kind}
    own = _subject(admin, other, "methanol", created_by=stranger.user_id)
    table, values = _prediction(kind, theirs, method, created_by=stranger.user_id, **{other: own})

    with acting(urls, stranger) as member:
        # Past the policy by the own subject, and then not past the rule that there is one.
        assert member.attempt(insert(table, values), values) == psycopg.errors.CheckViolation.sqlstate


@pytest.mark.parametrize("changes", [{"created_by": None}, {"created_by": "other"}, {"is_public": True}, {"acl": []}])
def test_a_prediction_is_not_stored_with_what_is_not_the_clients(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, method: UUID, changes: dict[str, object]
) -> None:
    owner, other = scene.members["owner"], scene.members["editor"]
    subject = _subject(admin, "molecule_id", project_id=scene.home)
    table, values = _prediction("molecule_id", subject, method, created_by=owner.user_id)
    wanted = {**values, **{column: other.user_id if value == "other" else value for column, value in changes.items()}}

    with acting(urls, owner) as member:
        assert member.attempt(insert(table, wanted), wanted) == REFUSED


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_goes_with_its_subject_and_stays_without_its_maker(
    admin: psycopg.Connection, scene: Scene, method: UUID, kind: str
) -> None:
    maker = scene.members["stranger"].user_id
    subject = _subject(admin, kind)
    table, values = _prediction(kind, subject, method, created_by=maker)
    add(admin, table, **values)

    admin.execute("DELETE FROM user_profiles WHERE id = %s", (maker,))
    without_maker = admin.execute("SELECT created_by FROM predictions").fetchall()
    admin.execute(DELETE_SQL[kind].encode(), {"id": subject})

    assert without_maker == [(None,)]
    assert admin.execute("SELECT FROM predictions").fetchall() == []


def test_everybody_reads_methods_and_nobody_but_the_service_writes_them(
    urls: DatabaseUrls, scene: Scene, method: UUID
) -> None:
    values = {"name": "mine", "version": "1", "description": "mine"}

    assert readers(urls, scene, "calculation_methods", "id", method) == EVERYBODY
    with acting(urls, scene.members["owner"]) as owner:
        assert owner.attempt(insert("calculation_methods", values), values) == REFUSED
        assert owner.attempt("UPDATE public.calculation_methods SET description = ''") == REFUSED
        assert owner.attempt("DELETE FROM public.calculation_methods") == REFUSED
