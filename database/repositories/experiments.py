"""Experiments with their results and failure reasons, inside the caller's session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg

from app.domain.experiments import NewExperiment, Result
from app.errors import CryoProtectError, InvalidError
from database.listing import Detail, Field, Kind, Listing, Related, Scope
from database.repositories.base import ReadRepository, RecordRepository, not_permitted
from database.repositories.outcomes import Outcome, OutcomeStatus, refusal, refused_by, slices
from database.repositories.projects import FIND_PROJECT_SQL

EXPERIMENTS: Final = Listing(
    name="experiments",
    source="public.experiments AS e",
    search="e.id = ANY ((SELECT private.experiment_ids_matching(%(q)s))::uuid[])",
    fields=(
        Field("id", Kind.UUID, "e.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("name", Kind.TEXT, "e.name", Detail.MINIMAL, nullable=True, description="Name."),
        Field(
            "mixture_id", Kind.UUID, "e.mixture_id", Detail.MINIMAL, nullable=True, description="The mixture tested."
        ),
        Field(
            "molecule_id",
            Kind.UUID,
            "e.molecule_id",
            Detail.MINIMAL,
            nullable=True,
            description="Or the molecule.",
        ),
        Field("outcome", Kind.TEXT, "e.outcome", Detail.MINIMAL, description="pass, fail or inconclusive."),
        Field(
            "started_at",
            Kind.TIMESTAMP,
            "e.started_at",
            sortable=True,
            nullable=True,
            description="Start, UTC.",
        ),
        Field("completed_at", Kind.TIMESTAMP, "e.completed_at", nullable=True, description="End, UTC."),
        Field("protocol", Kind.TEXT, "e.protocol", nullable=True, description="What was done."),
        Field("conditions", Kind.JSON, "e.conditions", description="Cell type, temperature, rates and others."),
        Field("reference", Kind.TEXT, "e.reference", nullable=True, description="Where it is published."),
        Field("notes", Kind.TEXT, "e.notes", nullable=True, description="Remarks."),
        Field("verified", Kind.BOOLEAN, "e.verified", description="Whether somebody saw it in its source."),
        Field(
            "certainty",
            Kind.TEXT,
            "e.certainty",
            nullable=True,
            description="How a published value is known: `seen` in the publication, `secondary` where others quote it, "
            "or from `memory`; null for what a person entered.",
        ),
        Field("is_public", Kind.BOOLEAN, "e.is_public", description="Whether everybody may read the record."),
        Field("project_id", Kind.UUID, "e.project_id", nullable=True, description="Project that the record is in."),
        Field("created_by", Kind.UUID, "e.created_by", nullable=True, description="Who made it; null for the service."),
        Field("version", Kind.INTEGER, "e.version", description="Grows by one with each change."),
        Field("created_at", Kind.TIMESTAMP, "e.created_at", sortable=True, description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "e.updated_at", sortable=True, description="Time of last change, UTC."),
    ),
    related=(
        Related(
            "failure_reasons",
            """
            SELECT coalesce(json_agg(f.reason ORDER BY f.position), '[]')
            FROM public.experiment_failures AS f
            WHERE f.experiment_id = e.id
            """,
            Detail.STANDARD,
            description="Why it failed, in the order in which it was stated.",
        ),
        Related(
            "results",
            """
            SELECT coalesce(json_agg(row_to_json(x)), '[]')
            FROM (
                SELECT r.property_type, r.relation, r.value, r.unit, r.standard_deviation, r.replicates
                FROM public.experiment_results AS r
                WHERE r.experiment_id = e.id
                ORDER BY r.position
            ) AS x
            """,
            Detail.STANDARD,
            description="Measured values in the units of their properties, in the order in which they were stated.",
        ),
        Related(
            "source",
            """
            SELECT row_to_json(x)
            FROM (
                SELECT s.name, s.release, s.url, s.licence, e.source_record AS record, e.import_run_id
                FROM public.data_sources AS s
                WHERE s.id = e.data_source_id
            ) AS x
            """,
            description="Where the record comes from; null for what a person entered.",
        ),
    ),
)

EXPERIMENTS_OF_MIXTURE: Final = Scope(
    "mixture", "e.mixture_id = %(parent)s", "SELECT id FROM public.mixtures WHERE id = %(parent)s"
)
EXPERIMENTS_OF_MOLECULE: Final = Scope(
    "molecule",
    """
    e.molecule_id = %(parent)s
    OR e.id = ANY (
        ARRAY(SELECT l.experiment_id FROM public.molecule_experiments AS l WHERE l.molecule_id = %(parent)s)
    )
    """,
    "SELECT id FROM public.molecules WHERE id = %(parent)s",
)
EXPERIMENTS_OF_PROJECT: Final = Scope("project", "e.project_id = %(parent)s", FIND_PROJECT_SQL)

# An experiment in a project shows its subject to the project's members, a public one to everybody. The deferred
# constraint says so too; asked here, each record of a batch stands or falls by itself without being tried by itself.
PLACES_SQL: Final = """
SELECT r.index, private.uuid_v7(), s.is_public IS NOT NULL,
    coalesce(
        s.is_public
        OR NOT r.is_public AND (
            r.project_id IS NULL
            OR s.project_id = r.project_id
            OR EXISTS (
                SELECT FROM public.project_mixtures AS p
                WHERE p.project_id = r.project_id AND p.mixture_id = r.mixture_id
            )
            OR EXISTS (
                SELECT FROM public.project_molecules AS p
                WHERE p.project_id = r.project_id AND p.molecule_id = r.molecule_id
            )
        ),
        false
    )
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS r (index int, mixture_id uuid, molecule_id uuid, is_public boolean, project_id uuid)
LEFT JOIN LATERAL (
    SELECT x.is_public, x.project_id FROM public.mixtures AS x WHERE x.id = r.mixture_id
    UNION ALL
    SELECT m.is_public, m.project_id FROM public.molecules AS m WHERE m.id = r.molecule_id
) AS s ON true
"""

ADD_EXPERIMENTS_SQL: Final = """
INSERT INTO public.experiments (
    id, name, mixture_id, molecule_id, outcome, protocol, conditions, started_at, completed_at, reference, notes,
    is_public, project_id, created_by
)
SELECT r.id, r.name, r.mixture_id, r.molecule_id, r.outcome, r.protocol, r.conditions, r.started_at, r.completed_at,
    r.reference, r.notes, r.is_public, r.project_id, r.created_by
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    id uuid, name text, mixture_id uuid, molecule_id uuid, outcome text, protocol text, conditions jsonb,
    started_at timestamptz, completed_at timestamptz, reference text, notes text, is_public boolean, project_id uuid,
    created_by uuid
)
-- An experiment holds its subject's row: in one order, so that two batches and a change never deadlock.
ORDER BY r.mixture_id, r.molecule_id, r.id
"""

ADD_RESULTS_SQL: Final = """
INSERT INTO public.experiment_results (
    experiment_id, position, property_type, relation, value, unit, standard_deviation, replicates
)
SELECT r.experiment_id, r.position, r.property_type, r.relation, r.value, r.unit, r.standard_deviation, r.replicates
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    experiment_id uuid, position int, property_type text, relation text, value float8, unit text,
    standard_deviation float8, replicates int
)
"""

ADD_FAILURES_SQL: Final = """
INSERT INTO public.experiment_failures (experiment_id, reason, position)
SELECT r.experiment_id, r.reason, r.position
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (experiment_id uuid, reason text, position int)
"""

REMOVE_RESULTS_SQL: Final = "DELETE FROM public.experiment_results WHERE experiment_id = %(id)s"
REMOVE_FAILURES_SQL: Final = "DELETE FROM public.experiment_failures WHERE experiment_id = %(id)s"

CHANGE_EXPERIMENT_SQL: Final = """
UPDATE public.experiments
SET name = CASE WHEN %(sets_name)s THEN %(name)s ELSE name END,
    outcome = CASE WHEN %(sets_outcome)s THEN %(outcome)s ELSE outcome END,
    started_at = CASE WHEN %(sets_started_at)s THEN %(started_at)s::timestamptz ELSE started_at END,
    completed_at = CASE WHEN %(sets_completed_at)s THEN %(completed_at)s::timestamptz ELSE completed_at END,
    protocol = CASE WHEN %(sets_protocol)s THEN %(protocol)s ELSE protocol END,
    conditions = CASE WHEN %(sets_conditions)s THEN %(conditions)s::jsonb ELSE conditions END,
    reference = CASE WHEN %(sets_reference)s THEN %(reference)s ELSE reference END,
    notes = CASE WHEN %(sets_notes)s THEN %(notes)s ELSE notes END,
    is_public = CASE WHEN %(sets_is_public)s THEN %(is_public)s ELSE is_public END,
    project_id = CASE WHEN %(sets_project_id)s THEN %(project_id)s::uuid ELSE project_id END
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

REMOVE_EXPERIMENT_SQL: Final = """
DELETE FROM public.experiments
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING id
"""

EXPERIMENT_VERSION_SQL: Final = "SELECT version FROM public.experiments WHERE id = %(id)s"
LOCK_EXPERIMENT_SQL: Final = "SELECT version FROM public.experiments WHERE id = %(id)s FOR UPDATE"

CHANGEABLE: Final = (
    "name",
    "outcome",
    "started_at",
    "completed_at",
    "protocol",
    "conditions",
    "reference",
    "notes",
    "is_public",
    "project_id",
)
_PLACE: Final = ("index", "mixture_id", "molecule_id", "is_public", "project_id")


class ExperimentReader(ReadRepository):
    """Finds experiments with the caller's eyes."""

    listing = EXPERIMENTS
    noun = "experiment"


class ExperimentRepository(RecordRepository):
    """Stores and changes experiments inside the caller's transaction."""

    listing = EXPERIMENTS
    noun = "experiment"
    version_sql = EXPERIMENT_VERSION_SQL
    lock_sql = LOCK_EXPERIMENT_SQL
    remove_sql = REMOVE_EXPERIMENT_SQL

    def add(self, experiment: NewExperiment) -> UUID:
        """Store one experiment and return its id.

        Raises:
            ForbiddenError: The caller may not publish, or not write to the project.
            InvalidError: The caller does not see the subject, or others would see the experiment but not its subject.
        """
        rows, refused = self._placed([experiment])
        for error in refused.values():
            raise error
        self._store(rows)
        return UUID(rows[0]["id"])

    def add_many(self, experiments: Sequence[NewExperiment]) -> list[Outcome]:
        """Store experiments and return what became of each, in their order."""
        rows, refused = self._placed(experiments)
        outcomes = {index: refusal(error) for index, error in refused.items()}
        for part in slices(rows):
            outcomes |= self._store_part(part)
        return [outcomes[index] for index in range(len(experiments))]

    def change(self, experiment_id: UUID, changes: dict[str, Any], version: int | None) -> None:
        """Change what `CHANGEABLE` names of an experiment, and raise its version even where that is nothing.

        Raises:
            NotFoundError, ForbiddenError, StaleError: No row could be changed, in this order.
        """
        parameters: dict[str, object] = {"id": experiment_id, "version": version}
        for name in CHANGEABLE:
            parameters |= {f"sets_{name}": name in changes, name: changes.get(name)}
        parameters["conditions"] = orjson.dumps(changes.get("conditions")).decode()
        if not self._session.rows(CHANGE_EXPERIMENT_SQL, parameters):
            raise self._why_not(experiment_id, version)

    def put_results(self, experiment_id: UUID, results: Iterable[Result]) -> None:
        """Put results in the place of all that an experiment has; `change` has said that the caller may."""
        self._session.rows(REMOVE_RESULTS_SQL, {"id": experiment_id})
        self._add_rows(ADD_RESULTS_SQL, result_rows(experiment_id, results))

    def put_failure_reasons(self, experiment_id: UUID, reasons: Iterable[str]) -> None:
        """Put failure reasons in the place of all that an experiment has; `change` has said that the caller may."""
        self._session.rows(REMOVE_FAILURES_SQL, {"id": experiment_id})
        self._add_rows(ADD_FAILURES_SQL, _failures(experiment_id, reasons))

    def _placed(self, experiments: Sequence[NewExperiment]) -> tuple[list[dict[str, Any]], dict[int, CryoProtectError]]:
        """Return rows to store, each with an id, and why the others are refused."""
        places = [(experiment.project_id, experiment.is_public) for experiment in experiments]
        refused: dict[int, CryoProtectError] = {
            index: not_permitted(fault) for index, fault in self._refused(places).items()
        }
        rows = [self._row(index, item) for index, item in enumerate(experiments) if index not in refused]
        by_index = {row["index"]: row for row in rows}
        for part in slices(rows):
            slim = _json([{name: row[name] for name in _PLACE} for row in part])
            for index, new_id, is_seen, is_shown in self._session.rows(PLACES_SQL, {"rows": slim}):
                by_index[index]["id"] = str(new_id)
                if not (is_seen and is_shown):
                    refused[index] = _misplaced(by_index[index], is_seen=is_seen)
        return [row for row in rows if row["index"] not in refused], refused

    def _row(self, index: int, experiment: NewExperiment) -> dict[str, Any]:
        return {
            **asdict(experiment),
            "index": index,
            "is_public": self._publishes(said=experiment.is_public),
            "created_by": self._caller.user_id,
        }

    def _store_part(self, rows: list[dict[str, Any]]) -> dict[int, Outcome]:
        # Whatever is still wrong came in between. One such row takes its whole statement with it, so the rows are
        # halved until it stands alone.
        try:
            with self._writing.savepoint():
                self._store(rows)
                self._writing.check_deferred()
                return {row["index"]: Outcome(OutcomeStatus.ADDED, UUID(row["id"])) for row in rows}
        except (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            if len(rows) == 1:
                return {rows[0]["index"]: refused_by(error)}
        middle = len(rows) // 2
        return self._store_part(rows[:middle]) | self._store_part(rows[middle:])

    def _store(self, rows: list[dict[str, Any]]) -> None:
        self._add_rows(ADD_EXPERIMENTS_SQL, [{**row, "results": None, "failure_reasons": None} for row in rows])
        self._add_rows(ADD_RESULTS_SQL, [part for row in rows for part in _numbered(row["id"], row["results"])])
        self._add_rows(
            ADD_FAILURES_SQL, [part for row in rows for part in _failures(row["id"], row["failure_reasons"])]
        )

    def _add_rows(self, statement: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._session.rows(statement, {"rows": _json(rows)})


def _misplaced(row: dict[str, Any], *, is_seen: bool) -> InvalidError:
    noun = "molecule" if row["mixture_id"] is None else "mixture"
    if not is_seen:
        return InvalidError.at(f"/{noun}_id", f"no {noun} {row[f'{noun}_id']} is visible to you")
    return InvalidError.at(f"/{noun}_id", f"this {noun} is not visible to everybody who may see the experiment")


def result_rows(experiment_id: UUID | str, results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return an experiment's results as `ADD_RESULTS_SQL` takes them."""
    return _numbered(experiment_id, map(asdict, results))


def _numbered(experiment_id: UUID | str, results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**item, "experiment_id": experiment_id, "position": position} for position, item in enumerate(results)]


def _failures(experiment_id: UUID | str, reasons: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {"experiment_id": experiment_id, "reason": reason, "position": position}
        for position, reason in enumerate(reasons)
    ]


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
