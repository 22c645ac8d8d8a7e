"""Mixtures with their components, inside the caller's session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from app.domain.mixtures import Component, NewMixture
from database.listing import Detail, Field, Kind, Listing, Related, Scope
from database.repositories.base import ReadRepository, RecordRepository, Repository, not_permitted

MIXTURES: Final = Listing(
    name="mixtures",
    source="public.mixtures AS x",
    search="x.id = ANY ((SELECT private.mixture_ids_matching(%(q)s))::uuid[])",
    fields=(
        Field("id", Kind.UUID, "x.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("name", Kind.TEXT, "x.name", Detail.MINIMAL, sortable=True, description="Name."),
        Field("description", Kind.TEXT, "x.description", nullable=True, description="What it is for."),
        Field("solvent", Kind.TEXT, "x.solvent", description="Name of the solvent."),
        Field("reference", Kind.TEXT, "x.reference", nullable=True, description="Where it is published."),
        Field("is_public", Kind.BOOLEAN, "x.is_public", description="Whether everybody may read the record."),
        Field("project_id", Kind.UUID, "x.project_id", nullable=True, description="Project that the record is in."),
        Field("created_by", Kind.UUID, "x.created_by", nullable=True, description="Who made it; null for the service."),
        Field("version", Kind.INTEGER, "x.version", description="Grows by one with each change."),
        Field("created_at", Kind.TIMESTAMP, "x.created_at", sortable=True, description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "x.updated_at", sortable=True, description="Time of last change, UTC."),
    ),
    related=(
        Related(
            "components",
            # Whoever made a mixture and then left a project sees the mixture, but its molecules no longer.
            """
            SELECT coalesce(json_agg(row_to_json(y)), '[]')
            FROM (
                SELECT c.molecule_id, m.name, m.inchikey, c.amount, c.unit
                FROM public.mixture_components AS c
                LEFT JOIN public.molecules AS m ON m.id = c.molecule_id
                WHERE c.mixture_id = x.id
                ORDER BY c.position
            ) AS y
            """,
            Detail.STANDARD,
            description="Molecules with their amounts, in the order in which they were stated.",
        ),
        Related(
            "source",
            """
            SELECT row_to_json(y)
            FROM (
                SELECT s.name, s.release, s.url, s.licence, x.source_record AS record, x.import_run_id
                FROM public.data_sources AS s
                WHERE s.id = x.data_source_id
            ) AS y
            """,
            description="Where the record comes from; null for what a person entered.",
        ),
    ),
)

MIXTURES_OF_MOLECULE: Final = Scope(
    parent="molecule",
    condition="x.id IN (SELECT c.mixture_id FROM public.mixture_components AS c WHERE c.molecule_id = %(parent)s)",
    find="SELECT id FROM public.molecules WHERE id = %(parent)s",
)

# A mixture's components with what a conversion needs to know of them, for the statements that ask for it.
COMPONENTS: Final = """(
    SELECT json_agg(row_to_json(y))
    FROM (
        SELECT c.molecule_id, coalesce(m.name, c.molecule_id::text) AS name, m.inchikey, c.amount, c.unit,
            m.molar_mass_g_mol, p.numeric_value AS density_kg_m3, p.reference AS density_reference,
            p.verified AS density_verified
        FROM public.mixture_components AS c
        LEFT JOIN public.molecules AS m ON m.id = c.molecule_id
        LEFT JOIN LATERAL (
            SELECT d.numeric_value, d.reference, d.verified
            FROM public.molecular_properties AS d
            WHERE d.molecule_id = c.molecule_id AND d.property_type = 'density' AND d.numeric_value > 0
            ORDER BY d.verified DESC, d.id
            LIMIT 1
        ) AS p ON true
        WHERE c.mixture_id = x.id
        ORDER BY c.position
    ) AS y
)"""
COMPOSITIONS_SQL: Final = """
SELECT x.id, x.version, x.solvent, (components)
FROM public.mixtures AS x
WHERE x.id = ANY (%(ids)s)
""".replace("(components)", COMPONENTS)

ADD_MIXTURE_SQL: Final = """
INSERT INTO public.mixtures (name, description, solvent, reference, is_public, project_id, created_by)
VALUES (
    %(name)s, %(description)s, %(solvent)s, %(reference)s, %(is_public)s, %(project_id)s::uuid, %(created_by)s::uuid
)
RETURNING id
"""

ADD_COMPONENTS_SQL: Final = """
INSERT INTO public.mixture_components (mixture_id, molecule_id, position, amount, unit)
SELECT %(id)s, r.molecule_id, r.position, r.amount, r.unit
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (molecule_id uuid, position int, amount float8, unit text)
-- A component holds its molecule's row: in one order, so that two mixtures and an import never deadlock.
ORDER BY r.molecule_id
"""

REMOVE_COMPONENTS_SQL: Final = "DELETE FROM public.mixture_components WHERE mixture_id = %(id)s"

CHANGE_MIXTURE_SQL: Final = """
UPDATE public.mixtures
SET name = CASE WHEN %(sets_name)s THEN %(name)s ELSE name END,
    description = CASE WHEN %(sets_description)s THEN %(description)s ELSE description END,
    solvent = CASE WHEN %(sets_solvent)s THEN %(solvent)s ELSE solvent END,
    reference = CASE WHEN %(sets_reference)s THEN %(reference)s ELSE reference END,
    is_public = CASE WHEN %(sets_is_public)s THEN %(is_public)s ELSE is_public END,
    project_id = CASE WHEN %(sets_project_id)s THEN %(project_id)s::uuid ELSE project_id END
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

TOUCH_MIXTURE_SQL: Final = """
UPDATE public.mixtures
SET updated_at = clock_timestamp()
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

REMOVE_MIXTURE_SQL: Final = """
DELETE FROM public.mixtures
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING id
"""

MIXTURE_VERSION_SQL: Final = "SELECT version FROM public.mixtures WHERE id = %(id)s"
LOCK_MIXTURE_SQL: Final = "SELECT version FROM public.mixtures WHERE id = %(id)s FOR UPDATE"
# In one order, so that two batches never deadlock.
LOCK_MIXTURES_SQL: Final = "SELECT id FROM public.mixtures WHERE id = ANY (%(ids)s) ORDER BY id FOR UPDATE"

CHANGEABLE: Final = ("name", "description", "solvent", "reference", "is_public", "project_id")


@dataclass(frozen=True, slots=True)
class Composition:
    """A mixture's solvent and components, with what a conversion needs to know of them."""

    version: int
    solvent: str
    components: list[dict[str, Any]]
    """molecule_id, name, inchikey, amount, unit, molar_mass_g_mol, density_kg_m3, density_reference,
    density_verified."""


class _MixtureParts(Repository):
    """What a reading and a writing repository of mixtures share."""

    listing = MIXTURES
    noun = "mixture"

    def composition(self, mixture_id: UUID) -> Composition:
        """Return a mixture's composition; of several densities the first that somebody has seen in its source.

        Raises:
            NotFoundError: No such mixture is visible to the caller.
        """
        found = self.compositions([mixture_id])
        if not found:
            raise self.missing(mixture_id)
        return found[mixture_id]

    def compositions(self, mixture_ids: Sequence[UUID]) -> dict[UUID, Composition]:
        """Return the compositions of those of the mixtures that the caller sees, in one statement."""
        return {
            mixture_id: Composition(version, solvent, orjson.loads(components))
            for mixture_id, version, solvent, components in self._session.rows(
                COMPOSITIONS_SQL, {"ids": [*mixture_ids]}
            )
        }


class MixtureReader(ReadRepository, _MixtureParts):
    """Finds mixtures with the caller's eyes."""


class MixtureRepository(RecordRepository, _MixtureParts):
    """Stores and changes mixtures inside the caller's transaction."""

    version_sql = MIXTURE_VERSION_SQL
    lock_sql = LOCK_MIXTURE_SQL
    remove_sql = REMOVE_MIXTURE_SQL

    def add(self, mixture: NewMixture) -> UUID:
        """Store one mixture and return its id.

        Raises:
            ForbiddenError: The caller may not publish, or not write to the project.
        """
        for fault in self._refused([(mixture.project_id, mixture.is_public)]).values():
            raise not_permitted(fault)
        parameters = {
            "name": mixture.name,
            "description": mixture.description,
            "solvent": mixture.solvent,
            "reference": mixture.reference,
            "is_public": self._publishes(said=mixture.is_public),
            "project_id": mixture.project_id,
            "created_by": self._caller.user_id,
        }
        mixture_id: UUID = self._session.rows(ADD_MIXTURE_SQL, parameters)[0][0]
        self._add_components(mixture_id, mixture.components)
        return mixture_id

    def change(self, mixture_id: UUID, changes: dict[str, object], version: int | None) -> None:
        """Change what `CHANGEABLE` names of a mixture.

        Raises:
            NotFoundError, ForbiddenError, StaleError: No row could be changed, in this order.
        """
        parameters: dict[str, object] = {"id": mixture_id, "version": version}
        for name in CHANGEABLE:
            parameters |= {f"sets_{name}": name in changes, name: changes.get(name)}
        if not self._session.rows(CHANGE_MIXTURE_SQL, parameters):
            raise self._why_not(mixture_id, version)

    def touch(self, mixture_id: UUID, version: int | None) -> None:
        """Raise a mixture's version, before its components are put.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The mixture could not be changed, in this order.
        """
        if not self._session.rows(TOUCH_MIXTURE_SQL, {"id": mixture_id, "version": version}):
            raise self._why_not(mixture_id, version)

    def hold(self, mixture_id: UUID) -> None:
        """Keep others from changing a mixture until the transaction ends.

        Raises:
            NotFoundError, ForbiddenError: The caller does not see it, or may not change it.
        """
        if not self._session.rows(LOCK_MIXTURE_SQL, {"id": mixture_id}):
            raise self._why_not(mixture_id, None)

    def hold_many(self, mixture_ids: Sequence[UUID]) -> set[UUID]:
        """Keep others from changing those of the mixtures that the caller may change, and return which these are."""
        return {row[0] for row in self._session.rows(LOCK_MIXTURES_SQL, {"ids": [*mixture_ids]})}

    def put_components(self, mixture_id: UUID, components: Iterable[Component]) -> None:
        """Put components in the place of all that a mixture has; `touch` has said that the caller may."""
        self._session.rows(REMOVE_COMPONENTS_SQL, {"id": mixture_id})
        self._add_components(mixture_id, components)

    def _add_components(self, mixture_id: UUID, components: Iterable[Component]) -> None:
        rows = [
            {"molecule_id": item.molecule_id, "position": position, "amount": item.amount, "unit": item.unit}
            for position, item in enumerate(components)
        ]
        self._session.rows(ADD_COMPONENTS_SQL, {"id": mixture_id, "rows": orjson.dumps(rows).decode()})
