"""Projects, and the teams that are invited to work on them, inside the caller's session."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import psycopg

from app.errors import ConflictError, Fault, ForbiddenError
from database.listing import Detail, Field, Kind, Listing, Related, Scope
from database.repositories.base import ReadRepository, Repository, WriteRepository, unseen

PROJECTS: Final = Listing(
    name="projects",
    source="public.projects AS p",
    fields=(
        Field("id", Kind.UUID, "p.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("name", Kind.TEXT, "p.name", Detail.MINIMAL, sortable=True, description="Unique in its team."),
        Field("team_id", Kind.UUID, "p.team_id", Detail.MINIMAL, description="The team that the project belongs to."),
        Field("description", Kind.TEXT, "p.description", nullable=True, description="What the project is about."),
        Field(
            "role",
            Kind.TEXT,
            """
            CASE
                WHEN p.id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[]) THEN 'owner'
                WHEN p.id = ANY ((SELECT private.my_project_ids('{editor}'))::uuid[]) THEN 'editor'
                WHEN p.id = ANY ((SELECT private.my_project_ids('{viewer}'))::uuid[]) THEN 'viewer'
            END
            """,
            nullable=True,
            description="The caller's own role, the highest of several; null for the service.",
        ),
        Field("created_by", Kind.UUID, "p.created_by", nullable=True, description="Who made it; null for the service."),
        Field("version", Kind.INTEGER, "p.version", description="Grows with each change of the project or its shares."),
        Field("created_at", Kind.TIMESTAMP, "p.created_at", sortable=True, description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "p.updated_at", sortable=True, description="Time of last change, UTC."),
    ),
    related=(
        Related(
            "teams",
            """
            SELECT coalesce(json_agg(row_to_json(x)), '[]')
            FROM (
                SELECT i.team_id, t.name, i.role
                FROM public.team_projects AS i
                LEFT JOIN public.teams AS t ON t.id = i.team_id
                WHERE i.project_id = p.id
                ORDER BY i.created_at, i.team_id
            ) AS x
            """,
            description="Other teams that work on the project; a team's name is seen by its members only.",
        ),
    ),
)

INVITATIONS: Final = Listing(
    name="invitations",
    source="""
    public.team_projects AS i
    JOIN public.projects AS p ON p.id = i.project_id
    LEFT JOIN public.teams AS t ON t.id = i.team_id
    """,
    key="team_id",
    fields=(
        Field("project_id", Kind.UUID, "i.project_id", description="The project."),
        Field("team_id", Kind.UUID, "i.team_id", Detail.MINIMAL, sortable=True, description="The invited team."),
        Field(
            "name",
            Kind.TEXT,
            "t.name",
            Detail.MINIMAL,
            sortable=True,
            nullable=True,
            description="The team's name; null for who is not in it.",
        ),
        Field("role", Kind.TEXT, "i.role", Detail.MINIMAL, sortable=True, description="editor or viewer, at most."),
        Field("created_by", Kind.UUID, "i.created_by", nullable=True, description="Who invited the team."),
        Field("version", Kind.INTEGER, "p.version", description="Version of the project, which invitations belong to."),
        Field("created_at", Kind.TIMESTAMP, "i.created_at", sortable=True, description="Since when, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "i.updated_at", sortable=True, description="Time of last change, UTC."),
    ),
)

FIND_PROJECT_SQL: Final = "SELECT id FROM public.projects WHERE id = %(parent)s"
TEAMS_OF_PROJECT: Final = Scope("project", "i.project_id = %(parent)s", FIND_PROJECT_SQL)

MAY_ADD_PROJECT_SQL: Final = "SELECT %(team_id)s::uuid = ANY (private.my_team_ids('{owner,editor}'))"

ADD_PROJECT_SQL: Final = """
INSERT INTO public.projects (team_id, name, description, created_by)
VALUES (%(team_id)s, %(name)s, %(description)s, %(user_id)s)
RETURNING id
"""

CHANGE_PROJECT_SQL: Final = """
UPDATE public.projects
SET name = CASE WHEN %(sets_name)s THEN %(name)s ELSE name END,
    description = CASE WHEN %(sets_description)s THEN %(description)s ELSE description END
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

REMOVE_PROJECT_SQL: Final = """
DELETE FROM public.projects
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING id
"""

PROJECT_VERSION_SQL: Final = "SELECT version FROM public.projects WHERE id = %(id)s"
LOCK_PROJECT_SQL: Final = "SELECT version FROM public.projects WHERE id = %(id)s FOR NO KEY UPDATE"

HOLD_PROJECT_SQL: Final = "SELECT private.hold_project(%(id)s)"
"""Before a version of it is compared: of two changes at once the second sees what the first did."""

FIND_INVITATION_SQL: Final = """
SELECT private.user_has_permission('manage', p.id), t.id IS NOT NULL, p.team_id = t.id
FROM public.projects AS p
LEFT JOIN public.teams AS t ON t.id = %(team_id)s
WHERE p.id = %(project_id)s
"""

CHANGE_INVITATION_SQL: Final = """
UPDATE public.team_projects
SET role = %(role)s
WHERE project_id = %(project_id)s AND team_id = %(team_id)s
RETURNING role
"""

ADD_INVITATION_SQL: Final = """
INSERT INTO public.team_projects (project_id, team_id, role, created_by)
VALUES (%(project_id)s, %(team_id)s, %(role)s, %(user_id)s)
"""

REMOVE_INVITATION_SQL: Final = """
DELETE FROM public.team_projects AS i
WHERE i.project_id = %(project_id)s AND i.team_id = %(team_id)s
    AND (
        %(version)s::int IS NULL
        OR EXISTS (SELECT FROM public.projects AS p WHERE p.id = i.project_id AND p.version = %(version)s)
    )
RETURNING i.team_id
"""

INVITATION_VERSION_SQL: Final = """
SELECT p.version
FROM public.team_projects AS i
JOIN public.projects AS p ON p.id = i.project_id
WHERE i.project_id = %(project_id)s AND i.team_id = %(team_id)s
"""


class _ProjectParts(Repository):
    """What a reading and a writing repository of projects share."""

    listing = PROJECTS
    noun = "project"


class ProjectReader(ReadRepository, _ProjectParts):
    """Finds projects with the caller's eyes."""


class ProjectRepository(WriteRepository, _ProjectParts):
    """Stores and changes projects inside the caller's transaction."""

    def add(self, team_id: UUID, name: str, description: str | None) -> UUID:
        """Store a project of a team and return its id.

        Raises:
            ForbiddenError: The caller may not add to the team, or does not see it.
            ConflictError: The team has a project of this name already.
        """
        if (
            self._caller.role != "service_role"
            and not self._session.rows(MAY_ADD_PROJECT_SQL, {"team_id": team_id})[0][0]
        ):
            said = "you may not add projects to this team"
            raise ForbiddenError(said, code="not_permitted", faults=[Fault("/team_id", said)])
        new = {"team_id": team_id, "name": name, "description": description, "user_id": self._caller.user_id}
        return UUID(str(self._session.rows(ADD_PROJECT_SQL, new)[0][0]))

    def change(self, project_id: UUID, changes: dict[str, object], version: int | None) -> None:
        """Change a project's name or description.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The project could not be changed, in this order.
            ConflictError: The team has a project of this name already.
        """
        parameters: dict[str, object] = {"id": project_id, "version": version}
        for name in ("name", "description"):
            parameters |= {f"sets_{name}": name in changes, name: changes.get(name)}
        if not self._session.rows(CHANGE_PROJECT_SQL, parameters):
            raise self._why_not(project_id, version, self._session.rows(LOCK_PROJECT_SQL, {"id": project_id}))

    def remove(self, project_id: UUID, version: int | None) -> None:
        """Delete a project; what was only shared with it stays where it is.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The project could not be deleted, in this order.
            ConflictError: Records are in it.
        """
        try:
            removed = self._session.rows(REMOVE_PROJECT_SQL, {"id": project_id, "version": version})
        except (psycopg.errors.RestrictViolation, psycopg.errors.ForeignKeyViolation) as error:
            said = "the project still holds records; move them out of it or delete them first"
            raise ConflictError(said, code="not_empty") from error
        if not removed:
            removable = self._attempt(REMOVE_PROJECT_SQL, {"id": project_id, "version": None})
            raise self._why_not(project_id, version, removable)

    def hold(self, project_id: UUID, version: int | None) -> None:
        """Keep a project as it is until the transaction ends.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The caller may not change the project, in this order.
        """
        rows = self._session.rows(LOCK_PROJECT_SQL, {"id": project_id})
        if not rows or version not in {None, rows[0][0]}:
            raise self._why_not(project_id, version, rows)

    def _why_not(self, project_id: UUID, version: int | None, changeable: list[tuple[object, ...]]) -> Exception:
        current = self._session.rows(PROJECT_VERSION_SQL, {"id": project_id})
        return self._no_row_changed(project_id, version, current, changeable)


class _InvitationParts(Repository):
    """What a reading and a writing repository of invitations share."""

    listing = INVITATIONS
    noun = "invited team"
    scope = TEAMS_OF_PROJECT


class InvitationReader(ReadRepository, _InvitationParts):
    """Finds the teams that are invited to projects with the caller's eyes."""


class InvitationRepository(WriteRepository, _InvitationParts):
    """Invites teams to projects and takes that back, inside the caller's transaction."""

    def put(self, project_id: UUID, team_id: UUID, role: str, version: int | None) -> bool:
        """Let a team work on a project; return whether it is new there.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The project could not be changed, in this order.
            ConflictError: The project is the team's own.
        """
        key = {"project_id": project_id, "team_id": team_id}
        found = self._session.rows(FIND_INVITATION_SQL, key)
        if not found:
            raise unseen("project", project_id)
        may_manage, team_is_seen, is_own = found[0]
        if not may_manage:
            raise ForbiddenError("only an owner of the project's team may invite others", code="not_permitted")
        if not team_is_seen:
            raise unseen("team", team_id)
        if is_own:
            raise ConflictError("the project is this team's own", code="own_project")
        ProjectRepository(self._writing).hold(project_id, version)
        invitation = {**key, "role": role, "user_id": self._caller.user_id}
        if self._session.rows(CHANGE_INVITATION_SQL, invitation):
            return False
        self._session.rows(ADD_INVITATION_SQL, invitation)
        return True

    def remove(self, project_id: UUID, team_id: UUID, version: int | None) -> None:
        """Take an invitation back; an owner of the invited team may give it back, too.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The invitation could not be taken back, in this order.
        """
        key = {"project_id": project_id, "team_id": team_id}
        self._session.rows(HOLD_PROJECT_SQL, {"id": project_id})
        if self._session.rows(REMOVE_INVITATION_SQL, {**key, "version": version}):
            return
        if not self._session.rows(PROJECT_VERSION_SQL, {"id": project_id}):
            raise unseen("project", project_id)
        raise self._no_row_changed(
            team_id,
            version,
            self._session.rows(INVITATION_VERSION_SQL, key),
            self._attempt(REMOVE_INVITATION_SQL, {**key, "version": None}),
        )
