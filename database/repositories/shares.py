"""What projects share: a record of one project, or of one user, that another project sees, too.

Each kind of record has a junction table, and three statements that are alike but for its name. A record
that comes to be shared needs a `Junction` here and a `Scope` for its list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from app.errors import ForbiddenError, NotFoundError, StaleError
from database.listing import Scope
from database.repositories.base import WriteRepository, unseen
from database.repositories.projects import FIND_PROJECT_SQL, HOLD_PROJECT_SQL
from database.session import WriteSession

# Of a small project the planner joins two indexes, of a large one it walks the sort's index: a join with what is
# shared, or one array of all keys, took forty times as long for a project with a quarter of all molecules.
MOLECULES_OF_PROJECT: Final = Scope(
    "project",
    """
    m.project_id = %(parent)s
    OR m.id = ANY (ARRAY(SELECT s.molecule_id FROM public.project_molecules AS s WHERE s.project_id = %(parent)s))
    """,
    FIND_PROJECT_SQL,
)

MIXTURES_OF_PROJECT: Final = Scope(
    "project",
    """
    x.project_id = %(parent)s
    OR x.id = ANY (ARRAY(SELECT s.mixture_id FROM public.project_mixtures AS s WHERE s.project_id = %(parent)s))
    """,
    FIND_PROJECT_SQL,
)

FIND_MOLECULE_SHARE_SQL: Final = """
SELECT p.version, private.user_has_permission('share', p.id), m.id IS NOT NULL,
    m.is_public OR coalesce(m.project_id, m.created_by) = ANY (private.my_editable_keys()), s.project_id IS NOT NULL
FROM public.projects AS p
LEFT JOIN public.molecules AS m ON m.id = %(id)s
LEFT JOIN public.project_molecules AS s ON s.project_id = p.id AND s.molecule_id = m.id
WHERE p.id = %(project_id)s
"""

ADD_MOLECULE_SHARE_SQL: Final = """
INSERT INTO public.project_molecules (project_id, molecule_id, created_by)
SELECT p.id, %(id)s, %(user_id)s
FROM public.projects AS p
WHERE p.id = %(project_id)s AND (%(version)s::int IS NULL OR p.version = %(version)s)
ON CONFLICT (project_id, molecule_id) DO NOTHING
RETURNING project_id
"""

REMOVE_MOLECULE_SHARE_SQL: Final = """
DELETE FROM public.project_molecules AS s
WHERE s.project_id = %(project_id)s AND s.molecule_id = %(id)s
    AND (
        %(version)s::int IS NULL
        OR EXISTS (SELECT FROM public.projects AS p WHERE p.id = s.project_id AND p.version = %(version)s)
    )
RETURNING s.project_id
"""

FIND_MIXTURE_SHARE_SQL: Final = """
SELECT p.version, private.user_has_permission('share', p.id), x.id IS NOT NULL,
    x.is_public OR coalesce(x.project_id, x.created_by) = ANY (private.my_editable_keys()), s.project_id IS NOT NULL
FROM public.projects AS p
LEFT JOIN public.mixtures AS x ON x.id = %(id)s
LEFT JOIN public.project_mixtures AS s ON s.project_id = p.id AND s.mixture_id = x.id
WHERE p.id = %(project_id)s
"""

ADD_MIXTURE_SHARE_SQL: Final = """
INSERT INTO public.project_mixtures (project_id, mixture_id, created_by)
SELECT p.id, %(id)s, %(user_id)s
FROM public.projects AS p
WHERE p.id = %(project_id)s AND (%(version)s::int IS NULL OR p.version = %(version)s)
ON CONFLICT (project_id, mixture_id) DO NOTHING
RETURNING project_id
"""

REMOVE_MIXTURE_SHARE_SQL: Final = """
DELETE FROM public.project_mixtures AS s
WHERE s.project_id = %(project_id)s AND s.mixture_id = %(id)s
    AND (
        %(version)s::int IS NULL
        OR EXISTS (SELECT FROM public.projects AS p WHERE p.id = s.project_id AND p.version = %(version)s)
    )
RETURNING s.project_id
"""


@dataclass(frozen=True, slots=True)
class Junction:
    """One kind of record that projects share: what it is called, and its statements."""

    noun: str
    find: LiteralString
    add: LiteralString
    remove: LiteralString


MOLECULE_SHARES: Final = Junction(
    "molecule", FIND_MOLECULE_SHARE_SQL, ADD_MOLECULE_SHARE_SQL, REMOVE_MOLECULE_SHARE_SQL
)
MIXTURE_SHARES: Final = Junction("mixture", FIND_MIXTURE_SHARE_SQL, ADD_MIXTURE_SHARE_SQL, REMOVE_MIXTURE_SHARE_SQL)


@dataclass(frozen=True, slots=True)
class _Found:
    """A project and a record as the caller sees them."""

    version: int
    may_share: bool
    is_seen: bool
    is_editable: bool | None
    is_shared: bool


class ShareRepository(WriteRepository):
    """Shares records of one kind with projects, inside the caller's transaction."""

    def __init__(self, session: WriteSession, junction: Junction) -> None:
        super().__init__(session)
        self._junction = junction

    def add(self, project_id: UUID, record_id: UUID, version: int | None) -> bool:
        """Share a record with a project of this version; return whether it was not shared before.

        Raises:
            NotFoundError, ForbiddenError, StaleError: It cannot be shared, in this order.
            InvalidError: It would show something hidden to the project's members, when the transaction ends.
        """
        self._session.rows(HOLD_PROJECT_SQL, {"id": project_id})
        self._refuse_unshareable(self._found(project_id, record_id), record_id)
        new = {"project_id": project_id, "id": record_id, "user_id": self._caller.user_id, "version": version}
        if self._session.rows(self._junction.add, new):
            return True
        # Somebody else may have shared it, or changed the project, in between.
        found = self._found(project_id, record_id)
        if not found.is_shared or version not in {None, found.version}:
            raise _stale(found)
        return False

    def remove(self, project_id: UUID, record_id: UUID, version: int | None) -> None:
        """Share a record with a project of this version no longer.

        Raises:
            NotFoundError, ForbiddenError, StaleError: It cannot be taken back, in this order.
        """
        share = {"project_id": project_id, "id": record_id}
        self._session.rows(HOLD_PROJECT_SQL, {"id": project_id})
        if self._session.rows(self._junction.remove, {**share, "version": version}):
            return
        found = self._found(project_id, record_id)
        if not found.is_shared:
            msg = f"{self._junction.noun} {record_id} is not shared with this project"
            raise NotFoundError(msg)
        if not self._attempt(self._junction.remove, {**share, "version": None}):
            msg = "only who edits this project, or may change what it shares, may take that back"
            raise ForbiddenError(msg, code="not_permitted")
        raise _stale(found)

    def _found(self, project_id: UUID, record_id: UUID) -> _Found:
        rows = self._session.rows(self._junction.find, {"project_id": project_id, "id": record_id})
        if not rows:
            raise unseen("project", project_id)
        return _Found(*rows[0])

    def _refuse_unshareable(self, found: _Found, record_id: UUID) -> None:
        if not found.is_seen:
            raise unseen(self._junction.noun, record_id)
        if not found.may_share:
            raise ForbiddenError("only owners and editors of this project share with it", code="not_permitted")
        if not found.is_editable and self._caller.role != "service_role":
            msg = f"you may share what is public and what you may change; this {self._junction.noun} you may only see"
            raise ForbiddenError(msg, code="not_permitted")


def _stale(found: _Found) -> StaleError:
    return StaleError(f"this project was changed meanwhile: its version is {found.version}")
