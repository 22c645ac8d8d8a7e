"""What toxicity results and scores must be, who sees them with their subject, and who may store them."""

from __future__ import annotations

from uuid import UUID

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
    insert,
    readers,
)
from tests.database.worlds import add_references

ABSENT = UUID("00000000-0000-0000-0000-000000000001")
"""No record has this key. A random one would give each test worker other names of tests."""

HOME = {"owner", "editor", "viewer"}
GUESTS = {"guest_owner", "guest_editor", "guest_viewer"}
EVERYBODY = HOME | GUESTS | {"stranger", "anon"}
PUBLISH_SQL = {
    "mixture_id": "UPDATE public.mixtures SET is_public = true WHERE id = %(id)s",
    "molecule_id": "UPDATE public.molecules SET is_public = true WHERE id = %(id)s",
}
SHARE_SQL = {
    "mixture_id": "INSERT INTO public.project_mixtures (project_id, mixture_id) VALUES (%(project)s, %(id)s)",
    "molecule_id": "INSERT INTO public.project_molecules (project_id, molecule_id) VALUES (%(project)s, %(id)s)",
}
UNSHARE_SQL = {
    "mixture_id": "DELETE FROM public.project_mixtures WHERE mixture_id = %(id)s",
    "molecule_id": "DELETE FROM public.project_molecules WHERE molecule_id = %(id)s",
}
AC50 = {"potency_type": "AC50", "potency": 6.2, "potency_unit": "umol/L"}
LD50 = {"hit_call": None, "potency_type": "LD50", "potency": 294.0, "potency_unit": "mg/kg"}
RANGE = {"concentration_min": 0.0229, "concentration_max": 50.0, "concentration_unit": "umol/L"}
NAN, INFINITE = float("nan"), float("inf")
References = dict[str, UUID]


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams that share nothing yet."""
    return add_scene(admin)


@pytest.fixture
def references(admin: psycopg.Connection, emptied: None) -> References:
    """Give a method, an assay and its endpoint."""
    return add_references(admin)


def _result(molecule: UUID, references: References, **changes: object) -> Row:
    values: dict[str, object] = {
        "molecule_id": molecule,
        "assay_id": references["assay"],
        "endpoint_id": references["endpoint"],
        "hit_call": "active",
    }
    return "toxicity_results", values | changes


def _score(kind: str, subject: UUID, references: References, **changes: object) -> Row:
    values: dict[str, object] = {
        kind: subject,
        "method_id": references["method"],
        "score": 0.3,
        "coverage": 0.5,
        "confidence": 0.4,
    }
    return "toxicity_scores", values | changes


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"hit_call": "maybe"}, "toxicity_results_hit_call_check"),
        ({"hit_call": "inconclusive"}, None),
        ({"hit_call": None}, "toxicity_results_outcome_check"),
        ({"continuous_hit_call": 0.69}, None),
        # As ToxCast has them: below zero against the assay's direction.
        ({"hit_call": "inactive", "continuous_hit_call": -0.9999673237074933}, None),
        ({"continuous_hit_call": -1.001}, "toxicity_results_continuous_hit_call_check"),
        ({"continuous_hit_call": 1.001}, "toxicity_results_continuous_hit_call_check"),
        ({"continuous_hit_call": NAN}, "toxicity_results_continuous_hit_call_check"),
        ({"continuous_hit_call": -INFINITE}, "toxicity_results_continuous_hit_call_check"),
        (LD50 | {"continuous_hit_call": 0.5}, "toxicity_results_continuous_outcome_check"),
        (AC50, None),
        (LD50, None),
        (LD50 | {"potency_relation": ">"}, None),
        (LD50 | {"potency_relation": "over"}, "toxicity_results_potency_relation_check"),
        (AC50 | {"potency": 0}, "toxicity_results_potency_check"),
        (AC50 | {"potency": NAN}, "toxicity_results_potency_check"),
        (AC50 | {"potency": INFINITE}, "toxicity_results_potency_check"),
        (AC50 | {"potency_unit": None}, "toxicity_results_measured_check"),
        (AC50 | {"potency_type": None}, "toxicity_results_measured_check"),
        (AC50 | {"potency": None}, "toxicity_results_measured_check"),
        (RANGE, None),
        (RANGE | {"concentration_max": 0.01}, "toxicity_results_concentrations_check"),
        (RANGE | {"concentration_unit": None}, "toxicity_results_concentrations_check"),
        ({"concentration_unit": "umol/L"}, "toxicity_results_concentrations_check"),
        (RANGE | {"concentration_min": None}, None),
        (RANGE | {"concentration_min": -1}, "toxicity_results_concentration_min_check"),
        (RANGE | {"concentration_max": INFINITE}, "toxicity_results_concentration_max_check"),
        (RANGE | {"concentration_max": NAN}, "toxicity_results_concentration_max_check"),
        ({"cell_type": ""}, "toxicity_results_cell_type_check"),
        ({"source_record": "x" * 201}, "toxicity_results_source_record_check"),
        ({"assay_id": ABSENT}, "toxicity_results_assay_id_endpoint_id_fkey"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_result_keeps_the_rules_of_its_columns(
    admin: psycopg.Connection, references: References, changes: dict[str, object], rule: str | None
) -> None:
    assert broken_rule(admin, _result(add_molecule(admin), references, **changes)) == rule


def test_a_result_is_of_an_endpoint_of_its_assay(admin: psycopg.Connection, references: References) -> None:
    molecule, others = add_molecule(admin), add_references(admin)

    mixed = _result(molecule, references, endpoint_id=others["endpoint"])
    joined = ("assay_endpoints", {"assay_id": references["assay"], "endpoint_id": others["endpoint"]})

    assert broken_rule(admin, mixed) == "toxicity_results_assay_id_endpoint_id_fkey"
    assert broken_rule(admin, joined, mixed) is None


def test_replicates_that_contradict_each_other_are_kept_and_the_same_record_is_not(
    admin: psycopg.Connection, references: References
) -> None:
    molecule, others = add_molecule(admin), add_references(admin)
    first = _result(molecule, references, source_record="NCGC00013051-01")

    replicate = _result(molecule, references, source_record="NCGC00013051-05", hit_call="inactive")
    again = _result(molecule, references, source_record="NCGC00013051-01", hit_call="inactive")
    elsewhere = _result(molecule, others, source_record="NCGC00013051-01")
    unnamed = _result(molecule, references)

    assert broken_rule(admin, first, replicate, elsewhere, unnamed, unnamed) is None
    assert broken_rule(admin, first, again) == "toxicity_results_molecule_id_assay_id_source_record_key"


@pytest.mark.parametrize("kind", ["mixture_id", "molecule_id"])
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"score": 0}, None),
        ({"score": 1, "coverage": 1, "confidence": 1}, None),
        ({"score": -0.01}, "toxicity_scores_score_check"),
        ({"score": 1.01}, "toxicity_scores_score_check"),
        ({"score": NAN}, "toxicity_scores_score_check"),
        ({"score": None}, "toxicity_scores_without_score_check"),
        ({"score": None, "reason": "no data", "coverage": 0, "confidence": 0}, None),
        ({"coverage": 1.01}, "toxicity_scores_coverage_check"),
        ({"coverage": NAN}, "toxicity_scores_coverage_check"),
        ({"confidence": -0.01}, "toxicity_scores_confidence_check"),
        ({"confidence": INFINITE}, "toxicity_scores_confidence_check"),
        ({"assays": "{}"}, "toxicity_scores_assays_check"),
        ({"computed_at": "infinity"}, "toxicity_scores_computed_at_check"),
        ({"method_id": ABSENT}, "toxicity_scores_method_id_fkey"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_score_keeps_the_rules_of_its_columns(
    admin: psycopg.Connection, references: References, kind: str, changes: dict[str, object], rule: str | None
) -> None:
    subject = add_molecule(admin)
    if kind == "mixture_id":
        subject = add_mixture(admin, subject)

    assert broken_rule(admin, _score(kind, subject, references, **changes)) == rule


def test_a_subject_has_one_score_of_a_method_and_cell_type(admin: psycopg.Connection, references: References) -> None:
    molecule = add_molecule(admin)
    mixture, others = add_mixture(admin, molecule), add_references(admin)
    of_any, of_liver = (_score("molecule_id", molecule, references, cell_type=cell) for cell in (None, "HepG2"))

    beside = (_score("molecule_id", molecule, others), _score("mixture_id", mixture, references))
    both = _score("mixture_id", mixture, references, molecule_id=molecule)

    assert broken_rule(admin, of_any, of_liver, *beside) is None
    assert broken_rule(admin, of_any, of_any) == "toxicity_scores_subject_method_id_endpoint_cell_type_key"
    assert broken_rule(admin, of_liver, of_liver) == "toxicity_scores_subject_method_id_endpoint_cell_type_key"
    assert broken_rule(admin, both) == "toxicity_scores_subject_check"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"name": "SR-p53"}, None),
        ({}, "toxicity_assays_source_name_key"),
        ({"source": "toxcast"}, None),
        ({"name": "SR-p53", "external_id": "704"}, "toxicity_assays_source_external_id_key"),
        ({"name": ""}, "toxicity_assays_name_check"),
        ({"name": "SR-p53", "signal_direction": "bidirectional"}, None),
        ({"name": "SR-p53", "signal_direction": "up"}, "toxicity_assays_signal_direction_check"),
        ({"name": "SR-p53", "exposure_h": -1}, "toxicity_assays_exposure_h_check"),
        ({"name": "SR-p53", "exposure_h": NAN}, "toxicity_assays_exposure_h_check"),
        ({"name": "SR-p53", "exposure_h": 288.33}, None),
        ({"name": "SR-p53", "annotations": "[]"}, "toxicity_assays_annotations_check"),
    ],
    ids=str,
)
def test_an_assay_is_its_source_and_name(
    admin: psycopg.Connection, emptied: None, changes: dict[str, object], rule: str | None
) -> None:
    first = {"source": "tox21", "name": "NR-AhR"}

    assert (
        broken_rule(admin, ("toxicity_assays", first | {"external_id": "704"}), ("toxicity_assays", first | changes))
        == rule
    )


@pytest.mark.parametrize(
    ("table", "kind"),
    [("toxicity_results", "molecule_id"), ("toxicity_scores", "molecule_id"), ("toxicity_scores", "mixture_id")],
)
def test_results_and_scores_are_seen_with_their_subject(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, references: References, table: str, kind: str
) -> None:
    subject = add_molecule(admin, project_id=scene.home)
    if kind == "mixture_id":
        subject = add_mixture(admin, add_molecule(admin, "methanol", is_public=True), project_id=scene.home)
    rows = {"toxicity_results": _result(subject, references), "toxicity_scores": _score(kind, subject, references)}
    add(admin, table, **rows[table][1])

    for statement, audience in (
        (None, HOME),
        (SHARE_SQL, HOME | GUESTS),
        (UNSHARE_SQL, HOME),
        (PUBLISH_SQL, EVERYBODY),
    ):
        if statement is not None:
            admin.execute(statement[kind].encode(), {"id": subject, "project": scene.guest})
        assert readers(urls, scene, table, kind, subject) == audience, statement


@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner", "stranger"])
@pytest.mark.parametrize(("is_public", "allowed"), [(False, {"owner", "editor"}), (True, {"owner"})])
def test_a_result_is_stored_and_removed_by_whoever_may_change_its_molecule(  # noqa: PLR0913 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    references: References,
    writer: str,
    *,
    is_public: bool,
    allowed: set[str],
) -> None:
    molecule, caller = add_molecule(admin, project_id=scene.home, is_public=is_public), scene.members[writer]
    add(admin, "toxicity_results", **_result(molecule, references)[1])
    table, values = _result(molecule, references, created_by=caller.user_id)

    with acting(urls, caller) as member:
        added = member.attempt(insert(table, values), values)
        forged = member.attempt(insert(table, values | {"created_by": None}), values | {"created_by": None})
        changed = member.attempt("UPDATE public.toxicity_results SET hit_call = 'inactive'")
        removed = member.attempt("DELETE FROM public.toxicity_results")

    assert (added, removed) == ((1, 2) if writer in allowed else (REFUSED, 0))
    assert (forged, changed) == (REFUSED, REFUSED)


def test_a_score_is_the_services_to_write(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, references: References
) -> None:
    molecule = add_molecule(admin, project_id=scene.home)
    table, values = _score("molecule_id", molecule, references)

    with acting(urls, scene.members["owner"]) as owner:
        outcomes = [
            owner.attempt(insert(table, values), values),
            owner.attempt("UPDATE public.toxicity_scores SET score = 0"),
            owner.attempt("DELETE FROM public.toxicity_scores"),
        ]

    assert outcomes == [REFUSED] * 3


def test_everybody_reads_assays_and_endpoints_and_nobody_but_the_service_writes_them(
    urls: DatabaseUrls, scene: Scene, references: References
) -> None:
    rows: list[tuple[str, str, dict[str, object]]] = [
        ("toxicity_assays", "id", {"source": "mine", "name": "mine"}),
        ("toxicity_endpoints", "id", {"name": "mine", "description": "mine"}),
        ("assay_endpoints", "assay_id", {"assay_id": references["assay"], "endpoint_id": references["endpoint"]}),
    ]
    keys = (references["assay"], references["endpoint"], references["assay"])

    for (table, column, values), key in zip(rows, keys, strict=True):
        assert readers(urls, scene, table, column, key) == EVERYBODY
        with acting(urls, scene.members["owner"]) as owner:
            assert owner.attempt(insert(table, values), values) == REFUSED


def test_results_and_scores_go_with_their_molecule_and_an_assay_stays(
    admin: psycopg.Connection, references: References
) -> None:
    molecule = add_molecule(admin)
    for table, values in (_result(molecule, references), _score("molecule_id", molecule, references)):
        add(admin, table, **values)

    with pytest.raises(psycopg.errors.IntegrityError):
        admin.execute("DELETE FROM toxicity_assays")
    admin.execute("DELETE FROM molecules")

    assert admin.execute("SELECT FROM toxicity_results").fetchall() == []
    assert admin.execute("SELECT FROM toxicity_scores").fetchall() == []
    assert admin.execute("DELETE FROM toxicity_assays").rowcount == 1
