"""What an experiment must be, who sees it and its parts, and what its subject may not become under it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

import psycopg
import pytest

from database.urls import DatabaseUrls
from tests.database.acting import REFUSED, acting
from tests.database.rows import (
    Row,
    Scene,
    add,
    add_experiment,
    add_mixture,
    add_molecule,
    add_scene,
    broken_by,
    broken_rule,
    done_together,
    failure,
    insert,
    readers,
    result,
)

ABSENT = UUID("00000000-0000-0000-0000-000000000001")
"""No record has this key. A random one would give each test worker other names of tests."""

HOME = {"owner", "editor", "viewer"}
GUESTS = {"guest_owner", "guest_editor", "guest_viewer"}
EVERYBODY = HOME | GUESTS | {"stranger", "anon"}
PARTS = (
    ("experiments", "id"),
    ("experiment_results", "experiment_id"),
    ("experiment_failures", "experiment_id"),
    ("molecule_experiments", "experiment_id"),
)
PUBLISH_SQL = "UPDATE public.experiments SET is_public = true WHERE id = %(id)s"
WITHDRAW_SQL = "UPDATE public.experiments SET is_public = false WHERE id = %(id)s"
MOVE_SQL = "UPDATE public.experiments SET project_id = %(project)s WHERE id = %(id)s"
WITHDRAW_SUBJECT_SQL = {
    "mixture": "UPDATE public.mixtures SET is_public = false WHERE id = %(id)s",
    "molecule": "UPDATE public.molecules SET is_public = false WHERE id = %(id)s",
    "involved": "UPDATE public.molecules SET is_public = false WHERE id = %(id)s",
}
PUBLISH_SUBJECT_SQL = {kind: sql.replace("false", "true") for kind, sql in WITHDRAW_SUBJECT_SQL.items()}
UNSHARE_SUBJECT_SQL = {
    "mixture": "DELETE FROM public.project_mixtures WHERE mixture_id = %(id)s",
    "molecule": "DELETE FROM public.project_molecules WHERE molecule_id = %(id)s",
    "involved": "DELETE FROM public.project_molecules WHERE molecule_id = %(id)s",
}
IN_USE = {
    "mixture": "mixtures_in_use_check",
    "molecule": "molecules_in_use_check",
    "involved": "molecules_in_use_check",
}
HIDDEN = {
    "mixture": "experiments_subject_visible_check",
    "molecule": "experiments_subject_visible_check",
    "involved": "experiments_molecules_visible_check",
}
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams that share nothing yet."""
    return add_scene(admin)


@pytest.fixture
def molecule(admin: psycopg.Connection, scene: Scene) -> UUID:
    """Give a public molecule."""
    return add_molecule(admin, is_public=True)


def _experiment(molecule: UUID, **changes: object) -> tuple[UUID, Row]:
    key = uuid4()
    return key, ("experiments", {"id": key, "molecule_id": molecule, "outcome": "pass", **changes})


def _run(admin: psycopg.Connection, statement: str, **values: object) -> None:
    admin.execute(statement.encode(), values)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"outcome": "success"}, "experiments_outcome_check"),
        ({"name": ""}, "experiments_name_check"),
        ({"name": "x" * 501}, "experiments_name_check"),
        ({"name": "x" * 500}, None),
        ({"protocol": "x" * 20_001}, "experiments_protocol_check"),
        ({"protocol": "x" * 20_000}, None),
        ({"notes": "x" * 10_001}, "experiments_notes_check"),
        ({"reference": "x" * 2_001}, "experiments_reference_check"),
        ({"source_record": "x" * 501}, "experiments_source_record_check"),
        ({"conditions": "[1]"}, "experiments_conditions_check"),
        ({"conditions": "null"}, "experiments_conditions_check"),
        ({"conditions": '{"cooling_rate_k_min": 1}'}, None),
        ({"started_at": "2026-01-02", "completed_at": "2026-01-01"}, "experiments_completed_at_check"),
        ({"started_at": "2026-01-01", "completed_at": "2026-01-01"}, None),
        # The same moment, said in two zones.
        ({"started_at": "2026-01-01T12:00+02:00", "completed_at": "2026-01-01T10:00Z"}, None),
        ({"completed_at": "2026-01-01"}, None),
        ({"started_at": "-infinity"}, "experiments_started_at_check"),
        ({"completed_at": "infinity"}, "experiments_completed_at_check"),
        ({"molecule_id": None}, "experiments_subject_check"),
        ({"molecule_id": ABSENT}, "experiments_molecule_id_fkey"),
        ({"project_id": ABSENT}, "experiments_project_id_fkey"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_experiment_keeps_the_rules_of_its_columns(
    admin: psycopg.Connection, molecule: UUID, changes: dict[str, object], rule: str | None
) -> None:
    key, row = _experiment(molecule, **changes)

    assert broken_rule(admin, row, result(key)) == rule


def test_an_experiment_has_one_subject(admin: psycopg.Connection, molecule: UUID) -> None:
    mixture = add_mixture(admin, molecule, is_public=True)
    both, first = _experiment(molecule, mixture_id=mixture)
    of_mixture, second = _experiment(molecule)

    assert broken_rule(admin, first, result(both)) == "experiments_subject_check"
    alone = {**second[1], "molecule_id": None, "mixture_id": mixture}
    assert broken_rule(admin, ("experiments", alone), result(of_mixture)) is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"value": NAN}, "experiment_results_value_check"),
        ({"value": INFINITE}, "experiment_results_value_check"),
        ({"value": -INFINITE}, "experiment_results_value_check"),
        ({"value": -0.0025}, None),
        ({"value": 101, "unit": "%"}, "experiment_results_percentage_check"),
        ({"value": -1, "unit": "percent"}, "experiment_results_percentage_check"),
        ({"value": 100, "unit": "%"}, None),
        ({"value": 0, "unit": "%"}, None),
        ({"value": -0.1, "unit": "K", "property_type": "freezing_point"}, "experiment_results_kelvin_check"),
        ({"value": 265.2, "unit": "K", "property_type": "freezing_point"}, None),
        ({"value": -7.93, "unit": "degC", "property_type": "freezing_point"}, None),
        ({"unit": ""}, "experiment_results_unit_check"),
        ({"relation": "<", "value": 1, "unit": "K/min", "property_type": "critical_cooling_rate"}, None),
        ({"relation": "less"}, "experiment_results_relation_check"),
        ({"standard_deviation": -0.1}, "experiment_results_standard_deviation_check"),
        ({"standard_deviation": NAN}, "experiment_results_standard_deviation_check"),
        ({"standard_deviation": INFINITE}, "experiment_results_standard_deviation_check"),
        ({"standard_deviation": 0}, None),
        ({"replicates": 0}, "experiment_results_replicates_check"),
        ({"replicates": 1}, None),
        ({"property_type": "happiness"}, "experiment_results_property_type_fkey"),
        ({"position": -1}, "experiment_results_position_check"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_result_keeps_the_rules_of_its_columns(
    admin: psycopg.Connection, molecule: UUID, changes: Mapping[str, object], rule: str | None
) -> None:
    key, row = _experiment(molecule)

    assert broken_rule(admin, row, result(key, **changes)) == rule


@pytest.mark.parametrize(
    ("outcome", "reasons", "rule"),
    [
        ("pass", [], None),
        ("pass", ["ice"], "experiments_failures_check"),
        ("fail", [], "experiments_failures_check"),
        ("fail", ["ice", "cracks"], None),
        ("inconclusive", [], None),
        ("inconclusive", ["thermometer"], None),
        ("fail", ["ice", "ice"], "experiment_failures_pkey"),
        ("fail", [""], "experiment_failures_reason_check"),
        ("fail", ["x" * 501], "experiment_failures_reason_check"),
        ("fail", ["\N{SNOWFLAKE}" * 500], None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_failure_reasons_go_with_the_outcome(
    admin: psycopg.Connection, molecule: UUID, outcome: str, reasons: list[str], rule: str | None
) -> None:
    key, row = _experiment(molecule, outcome=outcome)

    assert broken_rule(admin, row, result(key), *(failure(key, reason) for reason in reasons)) == rule


def test_an_experiment_has_a_result_to_its_end(admin: psycopg.Connection, molecule: UUID) -> None:
    bare, row = _experiment(molecule)
    kept = add_experiment(admin, molecule_id=molecule, is_public=True)
    empty = ("DELETE FROM public.experiment_results WHERE experiment_id = %(id)s", {"id": kept})
    table, values = result(kept, position=1)

    assert broken_rule(admin, row) == "experiments_results_check"
    assert broken_rule(admin, row, result(bare)) is None
    assert broken_by(admin, empty) == "experiments_results_check"
    assert broken_by(admin, empty, (insert(table, values), values)) is None
    assert broken_by(admin, ("DELETE FROM public.experiments WHERE id = %(id)s", {"id": kept})) is None


def test_a_result_is_not_taken_from_one_experiment_for_another(admin: psycopg.Connection, molecule: UUID) -> None:
    one, other = (add_experiment(admin, molecule_id=molecule, is_public=True) for _ in range(2))
    move = "UPDATE public.experiment_results SET experiment_id = %(to)s, position = 1 WHERE experiment_id = %(id)s"

    assert broken_by(admin, (move, {"id": one, "to": other})) == "experiments_results_check"


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE public.experiments SET outcome = 'pass' WHERE id = %(id)s", "experiments_failures_check"),
        ("DELETE FROM public.experiment_failures WHERE experiment_id = %(id)s", "experiments_failures_check"),
        ("UPDATE public.experiments SET outcome = 'inconclusive' WHERE id = %(id)s", None),
    ],
)
def test_outcome_and_failure_reasons_change_together(
    admin: psycopg.Connection, molecule: UUID, statement: str, rule: str | None
) -> None:
    kept = add_experiment(admin, molecule_id=molecule, is_public=True)
    remove = ("DELETE FROM public.experiment_failures WHERE experiment_id = %(id)s", {"id": kept})
    passes = ("UPDATE public.experiments SET outcome = 'pass' WHERE id = %(id)s", {"id": kept})

    assert broken_by(admin, (statement, {"id": kept})) == rule
    assert broken_by(admin, remove, passes) is None


def test_the_same_record_of_a_source_is_one_experiment(admin: psycopg.Connection, molecule: UUID) -> None:
    source = uuid4()
    add(admin, "data_sources", id=source, name="measurements")
    add_experiment(admin, molecule_id=molecule, data_source_id=source, source_record="row 1")
    again, first = _experiment(molecule, data_source_id=source, source_record="row 1")
    other, second = _experiment(molecule, data_source_id=source, source_record="row 2")

    assert broken_rule(admin, first, result(again)) == "experiments_data_source_id_source_record_key"
    assert broken_rule(admin, second, result(other)) is None


def test_a_change_is_a_new_version(admin: psycopg.Connection, molecule: UUID) -> None:
    kept = add_experiment(admin, molecule_id=molecule)

    ((version, later),) = admin.execute(
        """
        UPDATE public.experiments SET notes = 'noted', created_at = '2020-01-01', version = 9 WHERE id = %s
        RETURNING version, updated_at > created_at AND created_at > '2026-01-01'
        """,
        (kept,),
    ).fetchall()

    assert (version, later) == (2, True)


@pytest.mark.parametrize("kind", ["molecules", "mixtures"])
def test_a_subject_is_not_deleted_under_its_experiment(admin: psycopg.Connection, molecule: UUID, kind: str) -> None:
    mixture = add_mixture(admin, add_molecule(admin, "methanol"))
    statement, key, rule = {
        "molecules": (
            "DELETE FROM public.molecules WHERE id = %(id)s",
            molecule,
            "experiments_molecule_id_fkey",
        ),
        "mixtures": ("DELETE FROM public.mixtures WHERE id = %(id)s", mixture, "experiments_mixture_id_fkey"),
    }[kind]
    kept = (
        add_experiment(admin, molecule_id=molecule)
        if kind == "molecules"
        else add_experiment(admin, mixture_id=mixture)
    )

    used = broken_by(admin, (statement, {"id": key}))
    _run(admin, "DELETE FROM public.experiments WHERE id = %(id)s", id=kept)

    assert (used, broken_by(admin, (statement, {"id": key}))) == (rule, None)


def _readers(urls: DatabaseUrls, scene: Scene, experiment: UUID) -> list[set[str]]:
    return [readers(urls, scene, table, column, experiment) for table, column in PARTS]


def test_the_parts_of_an_experiment_are_seen_with_it(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, molecule: UUID
) -> None:
    experiment = add_experiment(admin, [molecule], molecule_id=molecule, project_id=scene.home)

    for statement, audience in (
        (None, HOME),
        (PUBLISH_SQL, EVERYBODY),
        (WITHDRAW_SQL, HOME),
        (MOVE_SQL, GUESTS),
    ):
        if statement is not None:
            _run(admin, statement, id=experiment, project=scene.guest)
        assert _readers(urls, scene, experiment) == [audience] * len(PARTS), statement


def test_an_experiment_outside_projects_is_its_makers(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, molecule: UUID
) -> None:
    maker = scene.members["stranger"].user_id
    experiment = add_experiment(admin, [molecule], molecule_id=molecule, created_by=maker)

    assert _readers(urls, scene, experiment) == [{"stranger"}] * len(PARTS)


def test_whoever_made_an_experiment_and_left_the_team_sees_it_no_longer(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, molecule: UUID
) -> None:
    maker = scene.members["editor"].user_id
    experiment = add_experiment(admin, molecule_id=molecule, project_id=scene.home, created_by=maker)

    _run(admin, "DELETE FROM public.team_members WHERE user_id = %(user)s", user=maker)

    assert readers(urls, scene, "experiments", "id", experiment) == HOME - {"editor"}


def _studied(admin: psycopg.Connection, scene: Scene, kind: str) -> tuple[UUID, UUID]:
    """Store a private experiment at home and a private record there that it refers to in one of three ways."""
    public = add_molecule(admin, "methanol", is_public=True)
    if kind == "mixture":
        record = add_mixture(admin, public, project_id=scene.home)
        return record, add_experiment(admin, mixture_id=record, project_id=scene.home)
    record = add_molecule(admin, project_id=scene.home)
    if kind == "molecule":
        return record, add_experiment(admin, molecule_id=record, project_id=scene.home)
    return record, add_experiment(admin, [record], molecule_id=public, project_id=scene.home)


@pytest.mark.parametrize("kind", IN_USE)
def test_an_experiment_is_shown_to_nobody_from_whom_its_subject_is_hidden(
    admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record, experiment = _studied(admin, scene, kind)
    publish = (PUBLISH_SQL, {"id": experiment})
    move = (MOVE_SQL, {"id": experiment, "project": scene.guest})

    hidden = [broken_by(admin, publish), broken_by(admin, move)]
    _run(admin, PUBLISH_SUBJECT_SQL[kind], id=record)

    assert hidden == [HIDDEN[kind]] * 2
    assert [broken_by(admin, publish), broken_by(admin, move)] == [None, None]


@pytest.mark.parametrize("kind", IN_USE)
def test_a_record_is_not_withdrawn_from_those_who_see_it_in_an_experiment(
    admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record, experiment = _studied(admin, scene, kind)
    _run(admin, PUBLISH_SUBJECT_SQL[kind], id=record)
    _run(admin, PUBLISH_SQL, id=experiment)
    withdraw = (WITHDRAW_SUBJECT_SQL[kind], {"id": record})

    used = broken_by(admin, withdraw)
    _run(admin, WITHDRAW_SQL, id=experiment)

    assert (used, broken_by(admin, withdraw)) == (IN_USE[kind], None)


@pytest.mark.parametrize("kind", IN_USE)
def test_a_share_is_taken_back_from_a_project_that_experiments_on_it(
    admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record, experiment = _studied(admin, scene, kind)
    column = "mixture_id" if kind == "mixture" else "molecule_id"
    table = "project_mixtures" if kind == "mixture" else "project_molecules"
    add(admin, table, project_id=scene.guest, **{column: record})
    _run(admin, MOVE_SQL, id=experiment, project=scene.guest)
    unshare = (UNSHARE_SUBJECT_SQL[kind], {"id": record})

    refused = broken_by(admin, unshare)
    renamed = broken_by(admin, ("UPDATE public.experiments SET notes = 'seen' WHERE id = %(id)s", {"id": experiment}))

    assert (refused, renamed) == (None, None)


@pytest.mark.parametrize("withdrawn", ["first", "second"])
@pytest.mark.parametrize("kind", IN_USE)
def test_an_experiment_is_not_published_at_the_moment_in_which_its_subject_is_withdrawn(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str, withdrawn: str
) -> None:
    record, experiment = _studied(admin, scene, kind)
    _run(admin, PUBLISH_SUBJECT_SQL[kind], id=record)
    shows = [(PUBLISH_SQL, {"id": experiment})]
    hides = [(WITHDRAW_SUBJECT_SQL[kind], {"id": record})]

    refused = done_together(urls, *((hides, shows) if withdrawn == "first" else (shows, hides)))

    assert refused == (None, HIDDEN[kind] if withdrawn == "first" else IN_USE[kind])


@pytest.mark.parametrize("withdrawn", ["first", "second"])
@pytest.mark.parametrize("kind", IN_USE)
def test_a_public_experiment_is_not_made_at_the_moment_in_which_its_subject_is_withdrawn(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str, withdrawn: str
) -> None:
    record, _ = _studied(admin, scene, kind)
    _run(admin, PUBLISH_SUBJECT_SQL[kind], id=record)
    subject = {"mixture_id" if kind == "mixture" else "molecule_id": record}
    key = uuid4()
    rows = [("experiments", {"id": key, "outcome": "pass", "is_public": True, **subject}), result(key)]
    if kind == "involved":
        rows[0][1]["molecule_id"] = add_molecule(admin, "formamide", is_public=True)
        rows.append(("molecule_experiments", {"experiment_id": key, "molecule_id": record}))
    makes = [(insert(table, values), values) for table, values in rows]
    hides = [(WITHDRAW_SUBJECT_SQL[kind], {"id": record})]

    refused = done_together(urls, *((hides, makes) if withdrawn == "first" else (makes, hides)))

    assert refused == (None, HIDDEN[kind] if withdrawn == "first" else IN_USE[kind])


def test_a_part_added_while_its_experiment_is_published_is_public(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, molecule: UUID
) -> None:
    experiment = add_experiment(admin, molecule_id=molecule, project_id=scene.home)
    table, values = result(experiment, position=1)
    adds, publishes = [(insert(table, values), values)], [(PUBLISH_SQL, {"id": experiment})]

    assert done_together(urls, adds, publishes) == (None, None)

    assert admin.execute("SELECT is_public, position FROM experiment_results ORDER BY 2").fetchall() == [
        (True, 0),
        (True, 1),
    ]


@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner", "stranger"])
@pytest.mark.parametrize(("is_public", "allowed"), [(False, {"owner", "editor"}), (True, {"owner"})])
def test_owners_and_editors_experiment_in_their_project_and_owners_in_public(  # noqa: PLR0913 - one axis each
    urls: DatabaseUrls, scene: Scene, molecule: UUID, writer: str, *, is_public: bool, allowed: set[str]
) -> None:
    caller = scene.members[writer]
    key, (table, values) = _experiment(molecule, project_id=scene.home, created_by=caller.user_id, is_public=is_public)

    with acting(urls, caller) as member:
        outcomes = [member.attempt(insert(table, values), values)]
        outcomes += [member.attempt(insert(table, values), values) for table, values in [result(key)]]

    assert outcomes == ([1, 1] if writer in allowed else [REFUSED, REFUSED])


@pytest.mark.parametrize("kind", ["mixture_id", "molecule_id"])
@pytest.mark.parametrize(("subject_in", "outcome"), [("home", 1), ("guest", REFUSED)])
def test_nobody_experiments_on_what_they_do_not_see(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str, subject_in: str, outcome: int | str
) -> None:
    owner, project = scene.members["owner"], getattr(scene, subject_in)
    subject = add_molecule(admin, project_id=project)
    if kind == "mixture_id":
        subject = add_mixture(admin, subject, project_id=project)
    values = {"id": uuid4(), kind: subject, "outcome": "pass", "created_by": owner.user_id}
    unknown = values | {kind: uuid4()}

    with acting(urls, owner) as member:
        assert member.attempt(insert("experiments", values), values) == outcome
        # What is not there and what is not seen are refused alike.
        assert member.attempt(insert("experiments", unknown), unknown) == REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"created_by": "other"},
        {"created_by": None},
        {"project_id": "guest"},
        {"is_public": True},
        {"data_source_id": ABSENT},
        {"import_run_id": ABSENT},
        {"source_record": "row 1"},
        {"acl": []},
        {"version": 7},
        {"created_at": "2020-01-01"},
    ],
    ids=str,
)
def test_an_experiment_is_not_made_with_what_is_not_the_clients(
    urls: DatabaseUrls, scene: Scene, molecule: UUID, changes: dict[str, object]
) -> None:
    owner = scene.members["owner"]
    named = {"other": scene.members["editor"].user_id, "guest": scene.guest}
    _, (table, values) = _experiment(molecule, created_by=owner.user_id)
    wanted = {**values, **{column: named.get(str(value), value) for column, value in changes.items()}}

    with acting(urls, owner) as member:
        assert member.attempt(insert(table, wanted), wanted) == REFUSED
        assert member.attempt(insert(table, values), values) == 1


@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner", "stranger"])
@pytest.mark.parametrize(("is_public", "allowed"), [(False, {"owner", "editor"}), (True, {"owner"})])
def test_parts_are_written_by_whoever_may_change_the_experiment(  # noqa: PLR0913 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    molecule: UUID,
    writer: str,
    *,
    is_public: bool,
    allowed: set[str],
) -> None:
    experiment = add_experiment(admin, molecule_id=molecule, project_id=scene.home, is_public=is_public)
    rows = [
        result(experiment, position=1),
        failure(experiment, "cracks"),
        ("molecule_experiments", {"experiment_id": experiment, "molecule_id": molecule}),
    ]

    with acting(urls, scene.members[writer]) as member:
        added = [member.attempt(insert(table, values), values) for table, values in rows]
        removed = [
            member.attempt(statement, {"id": experiment})
            for statement in (
                "DELETE FROM public.experiment_results WHERE experiment_id = %(id)s AND position = 0",
                "DELETE FROM public.experiment_failures WHERE experiment_id = %(id)s AND reason = 'ice'",
            )
        ]
        changed = member.attempt("UPDATE public.experiment_results SET value = 0")

    assert (added, removed) == (([1] * 3, [1] * 2) if writer in allowed else ([REFUSED] * 3, [0] * 2))
    assert changed == REFUSED


def test_nobody_involves_a_molecule_that_they_do_not_see(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, molecule: UUID
) -> None:
    hidden = add_molecule(admin, "formamide", project_id=scene.guest)
    experiment = add_experiment(admin, molecule_id=molecule, project_id=scene.home)
    values: dict[str, object] = {"experiment_id": experiment, "molecule_id": hidden}

    with acting(urls, scene.members["owner"]) as owner:
        assert owner.attempt(insert("molecule_experiments", values), values) == REFUSED


@pytest.mark.parametrize(
    ("statement", "allowed", "refused"),
    [
        ("UPDATE public.experiments SET notes = 'noted' WHERE id = %(id)s", {"owner", "editor"}, 0),
        (PUBLISH_SQL, {"owner"}, REFUSED),
        ("DELETE FROM public.experiments WHERE id = %(id)s", {"owner"}, 0),
        ("UPDATE public.experiments SET molecule_id = molecule_id WHERE id = %(id)s", set(), REFUSED),
        ("UPDATE public.experiments SET acl = '{}' WHERE id = %(id)s", set(), REFUSED),
        ("UPDATE public.experiments SET project_id = NULL WHERE id = %(id)s", set(), REFUSED),
    ],
    ids=["note", "publish", "delete", "another subject", "acl", "take out of the project"],
)
@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner"])
def test_an_experiment_is_changed_by_role(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    molecule: UUID,
    statement: str,
    allowed: set[str],
    refused: int | str,
    writer: str,
) -> None:
    maker = scene.members["stranger"].user_id
    experiment = add_experiment(admin, molecule_id=molecule, project_id=scene.home, created_by=maker)

    with acting(urls, scene.members[writer]) as member:
        outcome = member.attempt(statement, {"id": experiment})

    if writer in allowed:
        assert outcome == 1
    else:
        # Whoever may not change the row at all does not meet it.
        assert outcome == refused or (outcome == 0 and writer in {"viewer", "guest_owner"})


def test_a_full_text_search_finds_only_what_the_caller_sees(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, molecule: UUID
) -> None:
    public = add_experiment(admin, molecule_id=molecule, is_public=True, protocol="plunged into slush")
    private = add_experiment(admin, molecule_id=molecule, project_id=scene.home, notes="slush again")
    add_experiment(admin, molecule_id=molecule, is_public=True, protocol="controlled rate")

    found = {}
    for name in ("viewer", "guest_owner"):
        with acting(urls, scene.members[name]) as member:
            found[name] = set(member.rows("SELECT private.experiment_ids_matching('slush')")[0][0])

    assert found == {"viewer": {public, private}, "guest_owner": {public}}


def _binding(molecule: UUID, protein: UUID, **changes: object) -> Row:
    values: dict[str, object] = {"molecule_id": molecule, "protein_id": protein, "source": "chembl"}
    return "molecule_proteins", values | changes


KI = {"affinity_type": "Ki", "affinity": 12.5, "affinity_unit": "nM"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        (KI, None),
        (KI | {"relation": ">"}, None),
        (KI | {"relation": "about"}, "molecule_proteins_relation_check"),
        (KI | {"affinity": 0}, "molecule_proteins_affinity_check"),
        (KI | {"affinity": NAN}, "molecule_proteins_affinity_check"),
        (KI | {"affinity": INFINITE}, "molecule_proteins_affinity_check"),
        (KI | {"affinity_unit": None}, "molecule_proteins_measured_check"),
        ({"affinity": 1}, "molecule_proteins_measured_check"),
        ({"source": "Not a word"}, "molecule_proteins_source_check"),
        ({"protein_id": ABSENT}, "molecule_proteins_protein_id_fkey"),
    ],
    ids=str,
)
def test_a_binding_keeps_the_rules_of_its_columns(
    admin: psycopg.Connection, molecule: UUID, changes: dict[str, object], rule: str | None
) -> None:
    protein = uuid4()
    add(admin, "proteins", id=protein, name="aquaporin 3", uniprot_accession="Q92482")

    assert broken_rule(admin, _binding(molecule, protein, **changes)) == rule


def test_the_same_binding_is_stored_once_and_a_second_record_beside_it(
    admin: psycopg.Connection, molecule: UUID
) -> None:
    protein = uuid4()
    add(admin, "proteins", id=protein, name="aquaporin 3")
    first, second = _binding(molecule, protein), _binding(molecule, protein, source_record="1")

    assert broken_rule(admin, first, first) == "molecule_proteins_molecule_id_protein_id_source_record_key"
    assert broken_rule(admin, second, second) == "molecule_proteins_molecule_id_protein_id_source_record_key"
    assert broken_rule(admin, first, second) is None


@pytest.mark.parametrize(
    ("accession", "rule"),
    [("P03372", None), ("A0A024R161", None), ("P04637-2", None), ("p03372", "proteins_uniprot_accession_check")],
)
def test_a_protein_has_an_accession_of_uniprots_form(
    admin: psycopg.Connection, accession: str, rule: str | None
) -> None:
    row = ("proteins", {"name": "a protein", "uniprot_accession": accession})

    assert broken_rule(admin, row) == rule
    assert broken_rule(admin, row, row) == (rule or "proteins_uniprot_accession_key")


def test_a_binding_is_seen_with_its_molecule(urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene) -> None:
    molecule, protein = add_molecule(admin, project_id=scene.home), uuid4()
    add(admin, "proteins", id=protein, name="aquaporin 3")
    table, values = _binding(molecule, protein)
    add(admin, table, **values)

    audiences = [readers(urls, scene, "molecule_proteins", "molecule_id", molecule)]
    for statement in (PUBLISH_SUBJECT_SQL["molecule"], WITHDRAW_SUBJECT_SQL["molecule"]):
        _run(admin, statement, id=molecule)
        audiences.append(readers(urls, scene, "molecule_proteins", "molecule_id", molecule))

    assert audiences == [HOME, EVERYBODY, HOME]
    assert readers(urls, scene, "proteins", "id", protein) == EVERYBODY


@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner"])
def test_a_binding_is_written_by_whoever_may_change_the_molecule(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, writer: str
) -> None:
    molecule, protein = add_molecule(admin, project_id=scene.home), uuid4()
    add(admin, "proteins", id=protein, name="aquaporin 3")
    table, values = _binding(molecule, protein)
    invented = {"name": "mine"}

    with acting(urls, scene.members[writer]) as member:
        added = member.attempt(insert(table, values), values)
        assert member.attempt(insert("proteins", invented), invented) == REFUSED

    assert added == (1 if writer in {"owner", "editor"} else REFUSED)
