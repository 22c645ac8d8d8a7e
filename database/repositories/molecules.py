"""Molecules with their identifiers and properties, inside the caller's session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg

from app.domain.molecules import Identifier, NewMolecule, PropertyType, PropertyValue
from app.domain.references import Match
from app.errors import ConflictError, Fault
from database.listing import Detail, Field, Kind, Listing, Related
from database.repositories.base import ReadRepository, RecordRepository, Repository, not_permitted
from database.repositories.outcomes import Outcome, OutcomeStatus, refused_by, slices

# Each record once: public, of an own project, one's own in no project, and what others share. The first two are counted
# in indexes. Where the policies would refuse a record, they still do; what is left out here they never let through.
COUNT_VISIBLE_SQL: Final = """
SELECT (SELECT count(*) FROM public.molecules AS m WHERE m.is_public)
    + (
        SELECT count(*) FROM public.molecules AS m
        WHERE NOT m.is_public AND m.project_id = ANY ((SELECT private.my_keys())::uuid[])
    )
    + (
        SELECT count(*) FROM public.molecules AS m
        WHERE NOT m.is_public AND m.project_id IS NULL AND m.created_by = (SELECT auth.uid())
    )
    + (
        SELECT count(*) FROM public.molecules AS m
        WHERE NOT m.is_public
            AND (coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_keys())::uuid[])) IS NOT TRUE
            AND m.id IN (
                SELECT s.molecule_id FROM public.project_molecules AS s
                WHERE s.project_id = ANY ((SELECT private.my_keys())::uuid[])
            )
    )
"""

MOLECULES: Final = Listing(
    name="molecules",
    source="public.molecules AS m",
    search="m.id = ANY ((SELECT private.molecule_ids_matching(%(q)s))::uuid[])",
    count_visible=COUNT_VISIBLE_SQL,
    fields=(
        Field("id", Kind.UUID, "m.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("name", Kind.TEXT, "m.name", Detail.MINIMAL, sortable=True, description="Preferred name."),
        Field("kind", Kind.TEXT, "m.kind", description="molecule or polymer."),
        Field(
            "canonical_smiles", Kind.TEXT, "m.canonical_smiles", nullable=True, description="Canonical SMILES (RDKit)."
        ),
        Field("inchi", Kind.TEXT, "m.inchi", nullable=True, description="Standard InChI."),
        Field(
            "inchikey",
            Kind.TEXT,
            "m.inchikey",
            Detail.MINIMAL,
            sortable=True,
            nullable=True,
            description="Standard InChIKey of the form submitted.",
        ),
        Field(
            "parent_inchikey",
            Kind.TEXT,
            "m.parent_inchikey",
            nullable=True,
            description="InChIKey of the parent, the same for salts, hydrates and isotopologues.",
        ),
        Field("formula", Kind.TEXT, "m.formula", sortable=True, nullable=True, description="Formula, Hill order."),
        Field(
            "molar_mass_g_mol",
            Kind.FLOAT,
            "m.molar_mass_g_mol",
            sortable=True,
            nullable=True,
            description="Average molar mass of the form submitted, g/mol.",
        ),
        Field("descriptors", Kind.JSON, "m.descriptors", description="Descriptors computed by RDKit."),
        Field("is_public", Kind.BOOLEAN, "m.is_public", description="Whether everybody may read the record."),
        Field("project_id", Kind.UUID, "m.project_id", nullable=True, description="Project that the record is in."),
        Field("created_by", Kind.UUID, "m.created_by", nullable=True, description="Who made it; null for the service."),
        Field("version", Kind.INTEGER, "m.version", description="Grows by one with each change."),
        Field("created_at", Kind.TIMESTAMP, "m.created_at", sortable=True, description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "m.updated_at", sortable=True, description="Time of last change, UTC."),
        Field(
            "fingerprint",
            Kind.TEXT,
            "m.fingerprint::text",
            Detail.FULL,
            nullable=True,
            filterable=False,
            description="Morgan fingerprint, radius 2, 2048 bits.",
        ),
    ),
    related=(
        Related(
            "source",
            """
            SELECT row_to_json(x)
            FROM (
                SELECT s.name, s.release, s.url, s.licence, m.source_record AS record, m.import_run_id
                FROM public.data_sources AS s
                WHERE s.id = m.data_source_id
            ) AS x
            """,
            description="Where the record comes from; null for what a person entered.",
        ),
        Related(
            "identifiers",
            """
            SELECT coalesce(json_agg(row_to_json(x)), '[]')
            FROM (
                SELECT i.source, i.kind, i.external_id, i.verified
                FROM public.molecule_identifiers AS i
                WHERE i.molecule_id = m.id
                ORDER BY i.source, i.kind, i.external_id
            ) AS x
            """,
            description="Names and numbers of the molecule elsewhere; verified is false for what is only remembered.",
        ),
        Related(
            "properties",
            """
            SELECT coalesce(json_agg(row_to_json(x)), '[]')
            FROM (
                SELECT p.property_type,
                    coalesce(to_json(p.numeric_value), to_json(p.text_value), to_json(p.boolean_value)) AS value,
                    p.unit, p.standard_uncertainty, p.method, p.reference, p.verified
                FROM public.molecular_properties AS p
                WHERE p.molecule_id = m.id
                ORDER BY p.property_type, p.verified DESC, p.id
            ) AS x
            """,
            description="Typed values with unit, method and reference; unverified ones are marked.",
        ),
    ),
)

LOOKUP_KINDS: Final = {
    "cids": ("pubchem", "cid"),
    "chembl_ids": ("chembl", "chembl_id"),
    "cas_numbers": ("cas", "cas_number"),
}

NEW_IDS_SQL: Final = "SELECT private.uuid_v7() FROM generate_series(1, %(count)s)"

EXISTING_MOLECULES_SQL: Final = """
SELECT DISTINCT ON (r.index) r.index, m.id
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS r (index int, inchikey text, name text, kind text, is_public boolean, project_id uuid, created_by uuid)
JOIN public.molecules AS m ON m.inchikey = r.inchikey
WHERE m.is_public
    OR m.project_id = r.project_id
    OR m.project_id IS NULL AND r.project_id IS NULL AND m.created_by IS NOT DISTINCT FROM r.created_by
ORDER BY r.index, m.is_public DESC, m.id
"""

EXISTING_POLYMERS_SQL: Final = """
SELECT r.index, m.id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (index int, name text, kind text)
JOIN public.molecules AS m ON lower(m.name) = lower(r.name) AND m.kind = 'polymer'
WHERE r.kind = 'polymer'
"""

ADD_MOLECULES_SQL: Final = """
INSERT INTO public.molecules (
    id, name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors,
    fingerprint, is_public, project_id, created_by, data_source_id, source_record, import_run_id
)
SELECT r.id, r.name, r.kind, r.canonical_smiles, r.inchi, r.inchikey, r.parent_inchikey, r.formula,
    r.molar_mass_g_mol, coalesce(r.descriptors, '{}'), r.fingerprint::bit(2048), r.is_public, r.project_id,
    r.created_by, r.data_source_id, r.source_record, r.import_run_id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    index int, id uuid, name text, kind text, canonical_smiles text, inchi text, inchikey text, parent_inchikey text,
    formula text, molar_mass_g_mol float8, descriptors jsonb, fingerprint text, is_public boolean, project_id uuid,
    created_by uuid, data_source_id uuid, source_record text, import_run_id uuid
)
-- Two batches that share structures take their index entries in the same order, and so never deadlock.
ORDER BY r.inchikey, lower(r.name), r.index
ON CONFLICT DO NOTHING
RETURNING id
"""

ADD_IDENTIFIERS_SQL: Final = """
INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id, verified, import_run_id)
SELECT r.molecule_id, r.source, r.kind, r.external_id, r.verified, r.import_run_id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    molecule_id uuid, source text, kind text, external_id text, verified boolean, import_run_id uuid
)
ORDER BY r.molecule_id
ON CONFLICT (source, kind, external_id, molecule_id) DO NOTHING
RETURNING molecule_id
"""

ADD_PROPERTIES_SQL: Final = """
INSERT INTO public.molecular_properties (
    molecule_id, property_type, numeric_value, text_value, boolean_value, unit, standard_uncertainty, method, reference,
    verified, import_run_id
)
SELECT r.molecule_id, r.property_type, r.numeric_value, r.text_value, r.boolean_value, r.unit, r.standard_uncertainty,
    r.method, r.reference, r.verified, r.import_run_id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    molecule_id uuid, property_type text, numeric_value float8, text_value text, boolean_value boolean, unit text,
    standard_uncertainty float8, method text, reference text, verified boolean, import_run_id uuid
)
ORDER BY r.molecule_id
ON CONFLICT (molecule_id, property_type, content_hash) DO NOTHING
RETURNING molecule_id
"""

CHANGE_MOLECULE_SQL: Final = """
UPDATE public.molecules
SET name = CASE WHEN %(sets_name)s THEN %(name)s ELSE name END,
    is_public = CASE WHEN %(sets_is_public)s THEN %(is_public)s ELSE is_public END,
    project_id = CASE WHEN %(sets_project_id)s THEN %(project_id)s::uuid ELSE project_id END
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

TOUCH_MOLECULES_SQL: Final = """
UPDATE public.molecules
SET updated_at = clock_timestamp()
WHERE id = ANY (%(ids)s::uuid[]) AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

REMOVE_MOLECULE_SQL: Final = """
DELETE FROM public.molecules
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING id
"""

# A part holds its molecule's row, so two imports that add to the same molecules take them in the same order.
LOCK_MOLECULES_SQL: Final = (
    "SELECT FROM public.molecules WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
)
MOLECULE_VERSION_SQL: Final = "SELECT version FROM public.molecules WHERE id = %(id)s"
HOLD_MOLECULE_SQL: Final = "SELECT inchikey, descriptors FROM public.molecules WHERE id = %(id)s FOR NO KEY UPDATE"
LOCK_MOLECULE_SQL: Final = "SELECT version FROM public.molecules WHERE id = %(id)s FOR UPDATE"

REMOVE_IDENTIFIERS_SQL: Final = "DELETE FROM public.molecule_identifiers WHERE molecule_id = %(id)s"

REMOVE_PROPERTIES_SQL: Final = """
DELETE FROM public.molecular_properties
WHERE molecule_id = %(id)s AND (%(property_type)s::text IS NULL OR property_type = %(property_type)s)
"""

# Locked, the molecule is found only by who may change it: to others a twin is no reason.
PUBLIC_TWIN_SQL: Final = """
SELECT twin.id
FROM public.molecules AS m
JOIN public.molecules AS twin ON twin.inchikey = m.inchikey AND twin.is_public AND twin.id <> m.id
WHERE m.id = %(id)s AND (%(version)s::int IS NULL OR m.version = %(version)s)
FOR UPDATE OF m
"""

GET_PROPERTIES_SQL: Final = """
SELECT m.version, (
    SELECT coalesce(json_agg(row_to_json(x)), '[]')
    FROM (
        SELECT p.property_type,
            coalesce(to_json(p.numeric_value), to_json(p.text_value), to_json(p.boolean_value)) AS value,
            p.unit, p.standard_uncertainty, p.method, p.reference, p.verified
        FROM public.molecular_properties AS p
        WHERE p.molecule_id = m.id AND (%(property_type)s::text IS NULL OR p.property_type = %(property_type)s)
        ORDER BY p.property_type, p.verified DESC, p.id
    ) AS x
)
FROM public.molecules AS m
WHERE m.id = %(id)s
"""

PROPERTY_TYPES_SQL: Final = "SELECT name, unit, value_kind FROM public.property_types"

LOOKUP_MOLECULES_SQL: Final = """
SELECT q.kind, q.value, m.id, m.name, m.inchikey, m.molar_mass_g_mol, m.is_public, p.numeric_value
FROM unnest(%(kinds)s::text[], %(values)s::text[]) WITH ORDINALITY AS q (kind, value, position)
CROSS JOIN LATERAL (
    SELECT f.id, f.name, f.inchikey, f.molar_mass_g_mol, f.is_public
    FROM public.molecules AS f
    WHERE f.id = CASE q.kind WHEN 'id' THEN q.value::uuid END
    UNION ALL
    SELECT f.id, f.name, f.inchikey, f.molar_mass_g_mol, f.is_public
    FROM public.molecules AS f
    WHERE q.kind = 'inchikey' AND f.inchikey = q.value
    UNION ALL
    SELECT f.id, f.name, f.inchikey, f.molar_mass_g_mol, f.is_public
    FROM public.molecules AS f
    WHERE q.kind = 'name' AND f.name = q.value
    UNION ALL
    SELECT f.id, f.name, f.inchikey, f.molar_mass_g_mol, f.is_public
    FROM public.molecule_identifiers AS i
    JOIN public.molecules AS f ON f.id = i.molecule_id
    WHERE q.kind LIKE '%%:%%' AND i.source = split_part(q.kind, ':', 1) AND i.kind = split_part(q.kind, ':', 2)
        AND i.external_id = q.value
) AS m
LEFT JOIN LATERAL (
    SELECT d.numeric_value
    FROM public.molecular_properties AS d
    WHERE %(densities)s::boolean AND d.molecule_id = m.id AND d.property_type = 'density' AND d.numeric_value > 0
    ORDER BY d.verified DESC, d.id
    LIMIT 1
) AS p ON true
ORDER BY q.position, m.id
"""


class _MoleculeParts(Repository):
    """What a reading and a writing repository of molecules share."""

    listing = MOLECULES
    noun = "molecule"

    def properties(self, molecule_id: UUID, property_type: str | None = None) -> tuple[int, bytes]:
        """Return a molecule's version and its property values as a JSON array.

        Raises:
            NotFoundError: No such molecule is visible to the caller.
        """
        rows = self._session.rows(GET_PROPERTIES_SQL, {"id": molecule_id, "property_type": property_type})
        if not rows:
            raise self.missing(molecule_id)
        return rows[0][0], rows[0][1]

    def property_types(self) -> dict[str, PropertyType]:
        """Return the known property types by name."""
        return {row[0]: PropertyType(*row) for row in self._session.rows(PROPERTY_TYPES_SQL, {})}

    def lookup(self, wanted: Sequence[tuple[str, str]], *, densities: bool = False) -> list[Match]:
        """Return the molecules behind (kind, value) pairs; kind is id, inchikey, name or source:kind."""
        parameters = {
            "kinds": [kind for kind, _ in wanted],
            "values": [value for _, value in wanted],
            "densities": densities,
        }
        return [Match(*row) for row in self._session.rows(LOOKUP_MOLECULES_SQL, parameters)]


class MoleculeReader(ReadRepository, _MoleculeParts):
    """Finds molecules with the caller's eyes."""


class MoleculeRepository(RecordRepository, _MoleculeParts):
    """Stores and changes molecules inside the caller's transaction."""

    version_sql = MOLECULE_VERSION_SQL
    lock_sql = LOCK_MOLECULE_SQL
    remove_sql = REMOVE_MOLECULE_SQL

    def add(self, molecule: NewMolecule) -> UUID:
        """Store one molecule and return its id.

        Raises:
            ConflictError: The same structure is stored already, for the caller to see.
            ForbiddenError: The caller may not publish, or not write to the project.
            InvalidError: A value breaks a constraint.
        """
        outcome = self.add_many([molecule])[0]
        if outcome.status is OutcomeStatus.EXISTING:
            raise ConflictError(
                "a molecule with this structure exists already", code="molecule_exists", existing_id=str(outcome.id)
            )
        if outcome.id is None:
            raise outcome.error or not_permitted(Fault(outcome.pointer, outcome.reason or ""))
        return outcome.id

    def add_many(self, molecules: Sequence[NewMolecule], *, merge: bool = False) -> list[Outcome]:
        """Store molecules and return what became of each, in their order.

        With `merge`, identifiers and properties of a molecule that exists already are added to it; the
        outcome is then `changed` where anything was new.
        """
        places = [(molecule.project_id, molecule.is_public) for molecule in molecules]
        outcomes = {
            index: Outcome(OutcomeStatus.REFUSED, None, fault.detail, fault.pointer)
            for index, fault in self._refused(places).items()
        }
        rows = self._rows(molecules, outcomes)
        existing = self._existing(rows)
        added, refused = self._insert([row for row in rows if row["index"] not in existing])
        outcomes |= refused
        rows = [row for row in rows if row["index"] not in refused]
        missed = [row for row in rows if row["index"] not in existing and row["id"] not in added]
        existing |= self._existing(missed)
        for row in rows:
            index = row["index"]
            if row["id"] in added:
                outcomes[index] = Outcome(OutcomeStatus.ADDED, UUID(row["id"]))
            elif index in existing:
                outcomes[index] = Outcome(OutcomeStatus.EXISTING, existing[index])
            else:
                # Taken by a row that this caller may not see: the answer must not tell whose it is.
                outcomes[index] = Outcome(OutcomeStatus.REFUSED, None, "this molecule cannot be stored here")
        final = [outcomes[index] for index in range(len(molecules))]
        return self._add_parts(molecules, final, merge=merge)

    def hold(self, molecule_id: UUID) -> tuple[str | None, dict[str, float]]:
        """Keep others from changing a molecule until the transaction ends; return its InChIKey and descriptors.

        Raises:
            NotFoundError, ForbiddenError: The caller does not see it, or may not change it.
        """
        held = self._session.rows(HOLD_MOLECULE_SQL, {"id": molecule_id})
        if not held:
            raise self._why_not(molecule_id, None)
        inchikey, descriptors = held[0]
        return inchikey, orjson.loads(descriptors)

    def change(self, molecule_id: UUID, changes: dict[str, object], version: int | None) -> None:
        """Change name, visibility or project of a molecule.

        Raises:
            NotFoundError, ForbiddenError, StaleError: No row could be changed, in this order.
            ConflictError: A public molecule with this structure exists already.
        """
        parameters: dict[str, object] = {"id": molecule_id, "version": version}
        for name in ("name", "is_public", "project_id"):
            parameters |= {f"sets_{name}": name in changes, name: changes.get(name)}
        if changes.get("is_public") and (twin := self._session.rows(PUBLIC_TWIN_SQL, parameters)):
            raise ConflictError(
                "a public molecule with this structure exists already",
                code="molecule_exists",
                existing_id=str(twin[0][0]),
            )
        if not self._session.rows(CHANGE_MOLECULE_SQL, parameters):
            raise self._why_not(molecule_id, version)

    def put_identifiers(self, molecule_id: UUID, identifiers: Iterable[Identifier], version: int | None) -> None:
        """Put the given identifiers in the place of all that the molecule has.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The molecule could not be changed, in this order.
        """
        self._touch(molecule_id, version)
        self._session.rows(REMOVE_IDENTIFIERS_SQL, {"id": molecule_id})
        self._add_identifiers((molecule_id, item, None) for item in identifiers)

    def put_properties(
        self, molecule_id: UUID, values: Iterable[PropertyValue], version: int | None, property_type: str | None = None
    ) -> None:
        """Put values in the place of all that the molecule has, or of all of one type.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The molecule could not be changed, in this order.
        """
        self._touch(molecule_id, version)
        self._session.rows(REMOVE_PROPERTIES_SQL, {"id": molecule_id, "property_type": property_type})
        self._add_properties((molecule_id, value, None) for value in values)

    def _touch(self, molecule_id: UUID, version: int | None) -> None:
        if not self._session.rows(TOUCH_MOLECULES_SQL, {"ids": [molecule_id], "version": version}):
            raise self._why_not(molecule_id, version)

    def _rows(self, molecules: Sequence[NewMolecule], refused: dict[int, Outcome]) -> list[dict[str, Any]]:
        wanted = [(index, item) for index, item in enumerate(molecules) if index not in refused]
        ids = self._session.rows(NEW_IDS_SQL, {"count": len(wanted)})
        return [self._row(index, item, str(new_id)) for (index, item), (new_id,) in zip(wanted, ids, strict=True)]

    def _row(self, index: int, molecule: NewMolecule, new_id: str) -> dict[str, Any]:
        return {
            "index": index,
            "id": new_id,
            "name": molecule.name,
            "kind": molecule.kind,
            "is_public": self._publishes(said=molecule.is_public),
            "project_id": molecule.project_id,
            "created_by": self._caller.user_id,
            "data_source_id": molecule.data_source_id,
            "source_record": molecule.source_record,
            "import_run_id": molecule.import_run_id,
            **(asdict(molecule.structure) if molecule.structure else {}),
        }

    def _existing(self, rows: list[dict[str, Any]]) -> dict[int, UUID]:
        names = ("index", "inchikey", "name", "kind", "is_public", "project_id", "created_by")
        found: dict[int, UUID] = {}
        for part in slices(rows):
            slim = orjson.dumps([{name: row.get(name) for name in names} for row in part]).decode()
            found |= dict(self._session.rows(EXISTING_MOLECULES_SQL, {"rows": slim}))
            found |= dict(self._session.rows(EXISTING_POLYMERS_SQL, {"rows": slim}))
        return found

    def _insert(self, rows: list[dict[str, Any]]) -> tuple[set[str], dict[int, Outcome]]:
        """Return the ids that were stored, and what became of rows that break a constraint."""
        stored: set[str] = set()
        refused: dict[int, Outcome] = {}
        for part in slices(rows):
            ids, outcomes = self._insert_part(part)
            stored |= ids
            refused |= outcomes
        return stored, refused

    def _insert_part(self, rows: list[dict[str, Any]]) -> tuple[set[str], dict[int, Outcome]]:
        # One row that breaks a constraint takes its whole statement with it, so the rows are halved until
        # it stands alone.
        try:
            with self._writing.savepoint():
                inserted = self._session.rows(ADD_MOLECULES_SQL, {"rows": orjson.dumps(rows).decode()})
                return {str(row[0]) for row in inserted}, {}
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            if len(rows) == 1:
                return set(), {rows[0]["index"]: refused_by(error)}
        middle = len(rows) // 2
        first, refused_first = self._insert_part(rows[:middle])
        second, refused_second = self._insert_part(rows[middle:])
        return first | second, refused_first | refused_second

    def _add_parts(self, molecules: Sequence[NewMolecule], outcomes: list[Outcome], *, merge: bool) -> list[Outcome]:
        takers = {OutcomeStatus.ADDED, OutcomeStatus.EXISTING} if merge else {OutcomeStatus.ADDED}
        pairs = [(o.id, m) for o, m in zip(outcomes, molecules, strict=True) if o.id is not None and o.status in takers]
        if merge:
            self._session.rows(LOCK_MOLECULES_SQL, {"ids": sorted({owner for owner, _ in pairs})})
        changed = self._add_identifiers((i, part, m.import_run_id) for i, m in pairs for part in m.identifiers)
        changed |= self._add_properties((i, part, m.import_run_id) for i, m in pairs for part in m.properties)
        existing = {o.id for o in outcomes if o.status is OutcomeStatus.EXISTING} - {
            o.id for o in outcomes if o.status is OutcomeStatus.ADDED
        }
        changed &= existing
        if changed:
            self._session.rows(TOUCH_MOLECULES_SQL, {"ids": sorted(changed), "version": None})
        return [
            Outcome(OutcomeStatus.CHANGED, o.id) if o.id in changed and o.status is OutcomeStatus.EXISTING else o
            for o in outcomes
        ]

    def _add_identifiers(self, parts: Iterable[tuple[UUID, Identifier, UUID | None]]) -> set[UUID]:
        rows = [{"molecule_id": owner, "import_run_id": run, **asdict(part)} for owner, part, run in parts]
        return self._add_rows(ADD_IDENTIFIERS_SQL, rows)

    def _add_properties(self, parts: Iterable[tuple[UUID, PropertyValue, UUID | None]]) -> set[UUID]:
        rows = [{"molecule_id": owner, "import_run_id": run, **asdict(part)} for owner, part, run in parts]
        return self._add_rows(ADD_PROPERTIES_SQL, rows)

    def _add_rows(self, statement: str, rows: list[dict[str, object]]) -> set[UUID]:
        return {
            row[0]
            for part in slices(rows)
            for row in self._session.rows(statement, {"rows": orjson.dumps(part).decode()})
        }
