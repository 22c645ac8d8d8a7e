"""Results of toxicity assays, inside the caller's session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg

from app.domain.references import by_key, choose, keys_of
from app.domain.toxicity import Assay, NewToxicityResult
from app.errors import ConflictError, Fault, ForbiddenError, InvalidError
from database.listing import Detail, Field, Kind, Listing, Related, Scope
from database.repositories.base import ReadRepository, RecordRepository, not_permitted
from database.repositories.molecules import MoleculeRepository
from database.repositories.outcomes import Outcome, OutcomeStatus, refusal, refused_by, slices
from database.repositories.toxicity_assays import AssayRepository, FoundAssay

RESULTS: Final = Listing(
    name="toxicity_results",
    source="""
    public.toxicity_results AS r
    JOIN public.toxicity_assays AS a ON a.id = r.assay_id
    JOIN public.toxicity_endpoints AS e ON e.id = r.endpoint_id
    """,
    fields=(
        Field("id", Kind.UUID, "r.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("molecule_id", Kind.UUID, "r.molecule_id", Detail.MINIMAL, description="The molecule tested."),
        Field("assay_id", Kind.UUID, "r.assay_id", description="The assay."),
        Field("source", Kind.TEXT, "a.source", Detail.MINIMAL, description="The assay's source."),
        Field("assay", Kind.TEXT, "a.name", Detail.MINIMAL, description="The assay's name."),
        Field("endpoint", Kind.TEXT, "e.name", Detail.MINIMAL, description="What the assay tells of."),
        Field(
            "hit_call",
            Kind.TEXT,
            "r.hit_call",
            Detail.MINIMAL,
            nullable=True,
            description="active, inactive or inconclusive; null for a dose.",
        ),
        Field(
            "continuous_hit_call",
            Kind.FLOAT,
            "r.continuous_hit_call",
            nullable=True,
            description="ToxCast's, -1 to 1: active from 0.9 on, below 0 against the assay's direction.",
        ),
        Field("potency_type", Kind.TEXT, "r.potency_type", nullable=True, description="AC50, LD50 and others."),
        Field("potency_relation", Kind.TEXT, "r.potency_relation", description="How the true potency lies to it."),
        Field("potency", Kind.FLOAT, "r.potency", sortable=True, nullable=True, description="In potency_unit."),
        Field("potency_unit", Kind.TEXT, "r.potency_unit", nullable=True, description="uM, mg/kg and others."),
        Field("concentration_min", Kind.FLOAT, "r.concentration_min", nullable=True, description="Lowest tested."),
        Field("concentration_max", Kind.FLOAT, "r.concentration_max", nullable=True, description="Highest tested."),
        Field("concentration_unit", Kind.TEXT, "r.concentration_unit", nullable=True, description="Unit of both."),
        Field(
            "cell_type",
            Kind.TEXT,
            "coalesce(r.cell_type, a.cell_type)",
            nullable=True,
            description="Cells exposed: the result's own, else the assay's.",
        ),
        Field("reference", Kind.TEXT, "r.reference", nullable=True, description="Where it is published."),
        Field("source_record", Kind.TEXT, "r.source_record", nullable=True, description="The replicate in its source."),
        Field("import_run_id", Kind.UUID, "r.import_run_id", nullable=True, description="The import that brought it."),
        Field("created_by", Kind.UUID, "r.created_by", nullable=True, description="Who made it; null for the service."),
        Field("created_at", Kind.TIMESTAMP, "r.created_at", sortable=True, description="Time of creation, UTC."),
    ),
    related=(
        Related(
            "flags",
            "SELECT to_json(r.flags)",
            Detail.STANDARD,
            description="What the source warns of.",
        ),
    ),
    # Never changed.
    record_version="1",
)

RESULTS_OF_MOLECULE: Final = Scope(
    parent="molecule",
    condition="r.molecule_id = %(parent)s",
    find="SELECT id FROM public.molecules WHERE id = %(parent)s",
)

# Locked in one order, so that two batches never deadlock; whoever may not change a molecule does not get its row.
HOLD_MOLECULES_SQL: Final = (
    "SELECT id FROM public.molecules WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
)

# The molecules are held by then: nobody adds to their results between this look and the insertion.
PLACE_RESULTS_SQL: Final = """
SELECT s.index, private.uuid_v7(), r.id
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS s (index int, molecule_id uuid, assay_id uuid, endpoint_id uuid, source_record text)
LEFT JOIN public.toxicity_results AS r
    ON r.molecule_id = s.molecule_id AND r.assay_id = s.assay_id AND r.endpoint_id = s.endpoint_id
    AND r.source_record = s.source_record
ORDER BY s.index
"""

_RESULT_COLUMNS: Final = (
    "id",
    "molecule_id",
    "assay_id",
    "endpoint_id",
    "hit_call",
    "continuous_hit_call",
    "potency_type",
    "potency_relation",
    "potency",
    "potency_unit",
    "concentration_min",
    "concentration_max",
    "concentration_unit",
    "cell_type",
    "flags",
    "reference",
    "source_record",
    "import_run_id",
    "created_by",
)
ADD_RESULTS_SQL: Final = """
INSERT INTO public.toxicity_results (
    id, molecule_id, assay_id, endpoint_id, hit_call, continuous_hit_call, potency_type, potency_relation, potency,
    potency_unit, concentration_min, concentration_max, concentration_unit, cell_type, flags, reference, source_record,
    created_by
)
SELECT s.id, s.molecule_id, s.assay_id, s.endpoint_id, s.hit_call, s.continuous_hit_call, s.potency_type,
    s.potency_relation, s.potency, s.potency_unit, s.concentration_min, s.concentration_max, s.concentration_unit,
    s.cell_type, s.flags, s.reference, s.source_record, s.created_by
FROM jsonb_to_recordset(%(rows)s::jsonb) AS s (
    id uuid, molecule_id uuid, assay_id uuid, endpoint_id uuid, hit_call text, continuous_hit_call float8,
    potency_type text, potency_relation text, potency float8, potency_unit text, concentration_min float8,
    concentration_max float8, concentration_unit text, cell_type text, flags text[], reference text,
    source_record text, created_by uuid
)
"""
# Clients have no grant on the column of imports.
IMPORT_RESULTS_SQL: Final = """
INSERT INTO public.toxicity_results (
    id, molecule_id, assay_id, endpoint_id, hit_call, continuous_hit_call, potency_type, potency_relation, potency,
    potency_unit, concentration_min, concentration_max, concentration_unit, cell_type, flags, reference, source_record,
    import_run_id
)
SELECT s.id, s.molecule_id, s.assay_id, s.endpoint_id, s.hit_call, s.continuous_hit_call, s.potency_type,
    s.potency_relation, s.potency, s.potency_unit, s.concentration_min, s.concentration_max, s.concentration_unit,
    s.cell_type, s.flags, s.reference, s.source_record, s.import_run_id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS s (
    id uuid, molecule_id uuid, assay_id uuid, endpoint_id uuid, hit_call text, continuous_hit_call float8,
    potency_type text, potency_relation text, potency float8, potency_unit text, concentration_min float8,
    concentration_max float8, concentration_unit text, cell_type text, flags text[], reference text,
    source_record text, import_run_id uuid
)
"""

REMOVE_RESULT_SQL: Final = """
DELETE FROM public.toxicity_results
WHERE id = %(id)s AND (%(version)s::int IS NULL OR %(version)s = 1)
RETURNING id
"""
RESULT_VERSION_SQL: Final = "SELECT 1 FROM public.toxicity_results WHERE id = %(id)s"


class ResultReader(ReadRepository):
    """Finds toxicity results with the caller's eyes."""

    listing = RESULTS
    noun = "toxicity result"


class ResultRepository(RecordRepository):
    """Stores and removes toxicity results inside the caller's transaction."""

    listing = RESULTS
    noun = "toxicity result"
    version_sql = RESULT_VERSION_SQL
    remove_sql = REMOVE_RESULT_SQL

    def add(self, result: NewToxicityResult) -> UUID:
        """Store one result and return its id.

        Raises:
            InvalidError: The molecule or the assay is not known, or a value breaks a constraint.
            ForbiddenError: The caller may not change the molecule.
            ConflictError: The molecule has this record of the assay already.
        """
        outcome = self.add_many([result])[0]
        if outcome.status is OutcomeStatus.EXISTING:
            raise ConflictError(
                "the molecule has this record of the assay already",
                code="result_exists",
                existing_id=str(outcome.id),
                faults=[Fault("/source_record", "the molecule has this record of the assay already")],
            )
        if outcome.id is None:
            raise outcome.error or not_permitted(Fault(outcome.pointer, outcome.reason or ""))
        return outcome.id

    def add_many(self, results: Sequence[NewToxicityResult]) -> list[Outcome]:
        """Store results and return what became of each, in their order.

        The service role makes assays that are not known yet from what is said of them.
        """
        molecules = self._molecules(results)
        repository = AssayRepository(self._writing)
        assays, is_any_new = repository.ensure([result.assay for result in results])
        outcomes: dict[int, Outcome] = {}
        rows = []
        for index, result in enumerate(results):
            try:
                rows.append(self._row(index, result, molecules, assays))
            except InvalidError as error:
                outcomes[index] = refusal(error)
        for part in slices(self._permitted(rows, outcomes)):
            self._add_part(part, outcomes)
        if is_any_new:
            repository.refresh_coverage()
        return [outcomes[index] for index in range(len(results))]

    def _molecules(self, results: Sequence[NewToxicityResult]) -> dict[str, UUID | InvalidError]:
        """Return the id behind each reference, or why there is none."""
        references = dict.fromkeys(result.molecule for result in results)
        keys = list(dict.fromkeys(key for reference in references for key in keys_of(reference)))
        matches = by_key(match for part in slices(keys) for match in MoleculeRepository(self._writing).lookup(part))
        found: dict[str, UUID | InvalidError] = {}
        for reference in references:
            try:
                found[reference] = choose(reference, matches).id
            except InvalidError as error:
                found[reference] = InvalidError.at("/molecule", error.detail)
        return found

    def _row(
        self,
        index: int,
        result: NewToxicityResult,
        molecules: Mapping[str, UUID | InvalidError],
        assays: Mapping[tuple[Any, ...], list[FoundAssay]],
    ) -> dict[str, Any]:
        molecule = molecules[result.molecule]
        if isinstance(molecule, InvalidError):
            raise molecule
        assay = _one(result.assay, assays.get(result.assay.key, []))
        return {
            **{name: getattr(result, name, None) for name in _RESULT_COLUMNS},
            "index": index,
            "molecule_id": str(molecule),
            "assay_id": str(assay.id),
            "endpoint_id": _endpoint(result.endpoint, assay.endpoints),
            "created_by": self._caller.user_id,
        }

    def _permitted(self, rows: list[dict[str, Any]], outcomes: dict[int, Outcome]) -> list[dict[str, Any]]:
        """Return the rows on molecules that the caller may change, which are held; the others are refused."""
        ids = sorted({row["molecule_id"] for row in rows})
        held = {str(row[0]) for row in self._session.rows(HOLD_MOLECULES_SQL, {"ids": ids})} if ids else set()
        for row in rows:
            if row["molecule_id"] not in held:
                said = "you may not add results to this molecule"
                outcomes[row["index"]] = refusal(
                    ForbiddenError(said, code="not_permitted", faults=[Fault("/molecule", said)])
                )
        return [row for row in rows if row["molecule_id"] in held]

    def _add_part(self, rows: list[dict[str, Any]], outcomes: dict[int, Outcome]) -> None:
        by_index = {row["index"]: row for row in rows}
        first: dict[tuple[str, ...], str] = {}
        repeated: dict[int, str] = {}
        new = []
        for index, new_id, existing_id in self._session.rows(PLACE_RESULTS_SQL, {"rows": _json(_places(rows))}):
            row = by_index[index]
            if existing_id is not None:
                outcomes[index] = Outcome(OutcomeStatus.EXISTING, existing_id)
                continue
            # Within one batch, too, the same record is the same result.
            key = (row["molecule_id"], row["assay_id"], row["endpoint_id"], row["source_record"])
            if row["source_record"] is not None and first.setdefault(key, str(new_id)) != str(new_id):
                repeated[index] = first[key]
                continue
            new.append(row | {"id": str(new_id)})
        added = self._store_part(new) if new else {}
        outcomes |= added
        stored = {str(outcome.id) for outcome in added.values() if outcome.id}
        for index, result_id in repeated.items():
            is_stored = result_id in stored
            outcomes[index] = (
                Outcome(OutcomeStatus.EXISTING, UUID(result_id))
                if is_stored
                else Outcome(OutcomeStatus.REFUSED, None, "the same record was refused before", "/source_record")
            )

    def _store_part(self, rows: list[dict[str, Any]]) -> dict[int, Outcome]:
        # One row that breaks a constraint takes its whole statement with it, so rows are halved until it stands alone.
        statement = IMPORT_RESULTS_SQL if rows[0]["import_run_id"] else ADD_RESULTS_SQL
        try:
            with self._writing.savepoint():
                self._session.rows(statement, {"rows": _json(rows)})
                return {row["index"]: Outcome(OutcomeStatus.ADDED, UUID(row["id"])) for row in rows}
        except (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            if len(rows) == 1:
                return {rows[0]["index"]: refused_by(error)}
        middle = len(rows) // 2
        return self._store_part(rows[:middle]) | self._store_part(rows[middle:])


def _places(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("index", "molecule_id", "assay_id", "endpoint_id", "source_record")
    return [{name: row[name] for name in names} for row in rows]


def _one(assay: Assay, found: Sequence[FoundAssay]) -> FoundAssay:
    said = f"{assay.name or assay.external_id!s} of {assay.source}"
    if not found:
        msg = f"there is no assay {said}; the service role makes one that comes with its name and endpoints"
        raise InvalidError.at("/assay", msg)
    if len(found) > 1:
        raise InvalidError.at("/assay", f"name and external_id of {said} are of different assays")
    return found[0]


def _endpoint(name: str | None, known: Mapping[str, str]) -> str:
    if name is not None and name in known:
        return known[name]
    names = ", ".join(sorted(known)) or "none"
    if name is not None:
        raise InvalidError.at("/endpoint", f"this assay has no endpoint {name}; it has {names}")
    if len(known) != 1:
        raise InvalidError.at("/endpoint", f"say which endpoint of the assay; it has {names}")
    return next(iter(known.values()))


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
