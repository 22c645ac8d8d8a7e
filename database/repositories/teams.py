"""Teams and their members, inside the caller's session."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import psycopg

from app.errors import ConflictError
from database.listing import Detail, Field, Kind, Listing, Related, Scope
from database.repositories.base import ReadRepository, Repository, WriteRepository, unseen

TEAMS: Final = Listing(
    name="teams",
    source="public.teams AS t",
    fields=(
        Field("id", Kind.UUID, "t.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("name", Kind.TEXT, "t.name", Detail.MINIMAL, sortable=True, description="What the team is called."),
        Field(
            "role",
            Kind.TEXT,
            """
            CASE
                WHEN t.id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]) THEN 'owner'
                WHEN t.id = ANY ((SELECT private.my_team_ids('{editor}'))::uuid[]) THEN 'editor'
                WHEN t.id = ANY ((SELECT private.my_team_ids('{viewer}'))::uuid[]) THEN 'viewer'
            END
            """,
            nullable=True,
            description="The caller's own role: owner, editor or viewer; null for the service.",
        ),
        Field("created_by", Kind.UUID, "t.created_by", nullable=True, description="Who made it; null for the service."),
        Field("version", Kind.INTEGER, "t.version", description="Grows with each change of the team or its members."),
        Field("created_at", Kind.TIMESTAMP, "t.created_at", sortable=True, description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "t.updated_at", sortable=True, description="Time of last change, UTC."),
    ),
    related=(
        Related(
            "members",
            """
            SELECT coalesce(json_agg(row_to_json(x)), '[]')
            FROM (
                SELECT m.user_id, u.display_name, m.role
                FROM public.team_members AS m
                LEFT JOIN public.user_profiles AS u ON u.id = m.user_id
                WHERE m.team_id = t.id
                ORDER BY m.created_at, m.user_id
            ) AS x
            """,
            description="Who is in the team, and as what.",
        ),
    ),
)

MEMBERS: Final = Listing(
    name="members",
    source="""
    public.team_members AS m
    JOIN public.teams AS t ON t.id = m.team_id
    LEFT JOIN public.user_profiles AS u ON u.id = m.user_id
    """,
    key="user_id",
    fields=(
        Field("team_id", Kind.UUID, "m.team_id", description="The team."),
        Field("user_id", Kind.UUID, "m.user_id", Detail.MINIMAL, sortable=True, description="The `sub` of a token."),
        Field(
            "display_name",
            Kind.TEXT,
            "u.display_name",
            Detail.MINIMAL,
            sortable=True,
            nullable=True,
            description="What the user wants to be called.",
        ),
        Field("role", Kind.TEXT, "m.role", Detail.MINIMAL, sortable=True, description="owner, editor or viewer."),
        Field("version", Kind.INTEGER, "t.version", description="Version of the team, which members are parts of."),
        Field("created_at", Kind.TIMESTAMP, "m.created_at", sortable=True, description="Since when, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "m.updated_at", sortable=True, description="Time of last change, UTC."),
    ),
)

FIND_TEAM_SQL: Final = "SELECT id FROM public.teams WHERE id = %(parent)s"
MEMBERS_OF_TEAM: Final = Scope("team", "m.team_id = %(parent)s", FIND_TEAM_SQL)

ADD_TEAM_SQL: Final = "INSERT INTO public.teams (name, created_by) VALUES (%(name)s, %(user_id)s) RETURNING id"

CHANGE_TEAM_SQL: Final = """
UPDATE public.teams
SET name = %(name)s
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""

REMOVE_TEAM_SQL: Final = """
DELETE FROM public.teams
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING id
"""

TEAM_VERSION_SQL: Final = "SELECT version FROM public.teams WHERE id = %(id)s"

# Whoever may hold a team may change its members: both are for its owners.
HOLD_TEAM_SQL: Final = """
SELECT version
FROM public.teams
WHERE id = %(id)s AND (%(version)s::int IS NULL OR version = %(version)s)
FOR NO KEY UPDATE
"""

CHANGE_MEMBER_SQL: Final = """
UPDATE public.team_members
SET role = %(role)s
WHERE team_id = %(team_id)s AND user_id = %(user_id)s
RETURNING role
"""

ADD_MEMBER_SQL: Final = """
INSERT INTO public.team_members (team_id, user_id, role)
VALUES (%(team_id)s, %(user_id)s, %(role)s)
"""

HOLD_WHOLE_SQL: Final = "SELECT private.hold_team(%(id)s)"
"""Before a version of it is compared: of two changes at once the second sees what the first did."""

REMOVE_MEMBER_SQL: Final = """
DELETE FROM public.team_members AS m
WHERE m.team_id = %(team_id)s AND m.user_id = %(user_id)s
    AND (
        %(version)s::int IS NULL
        OR EXISTS (SELECT FROM public.teams AS t WHERE t.id = m.team_id AND t.version = %(version)s)
    )
RETURNING m.user_id
"""

MEMBER_VERSION_SQL: Final = """
SELECT t.version
FROM public.team_members AS m
JOIN public.teams AS t ON t.id = m.team_id
WHERE m.team_id = %(team_id)s AND m.user_id = %(user_id)s
"""


class _TeamParts(Repository):
    """What a reading and a writing repository of teams share."""

    listing = TEAMS
    noun = "team"


class TeamReader(ReadRepository, _TeamParts):
    """Finds teams with the caller's eyes."""


class TeamRepository(WriteRepository, _TeamParts):
    """Stores and changes teams inside the caller's transaction."""

    def add(self, name: str) -> UUID:
        """Store a team, which the caller then owns, and return its id."""
        rows = self._session.rows(ADD_TEAM_SQL, {"name": name, "user_id": self._caller.user_id})
        return UUID(str(rows[0][0]))

    def change(self, team_id: UUID, name: str, version: int | None) -> None:
        """Give a team another name.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The team could not be changed, in this order.
        """
        if not self._session.rows(CHANGE_TEAM_SQL, {"id": team_id, "name": name, "version": version}):
            raise self._not_held(team_id, version)

    def remove(self, team_id: UUID, version: int | None) -> None:
        """Delete a team with its members.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The team could not be deleted, in this order.
            ConflictError: It still has projects.
        """
        try:
            removed = self._session.rows(REMOVE_TEAM_SQL, {"id": team_id, "version": version})
        except (psycopg.errors.RestrictViolation, psycopg.errors.ForeignKeyViolation) as error:
            raise ConflictError("the team still has projects; delete them first", code="not_empty") from error
        if not removed:
            raise self._not_held(team_id, version)

    def hold(self, team_id: UUID, version: int | None) -> None:
        """Keep a team as it is until the transaction ends.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The caller may not change the team, in this order.
        """
        if not self._session.rows(HOLD_TEAM_SQL, {"id": team_id, "version": version}):
            raise self._not_held(team_id, version)

    def _not_held(self, team_id: UUID, version: int | None) -> Exception:
        return self._no_row_changed(
            team_id,
            version,
            self._session.rows(TEAM_VERSION_SQL, {"id": team_id}),
            self._session.rows(HOLD_TEAM_SQL, {"id": team_id, "version": None}),
        )


class _MemberParts(Repository):
    """What a reading and a writing repository of members share."""

    listing = MEMBERS
    noun = "member"
    scope = MEMBERS_OF_TEAM


class MemberReader(ReadRepository, _MemberParts):
    """Finds the members of teams with the caller's eyes."""


class MemberRepository(WriteRepository, _MemberParts):
    """Puts members into teams and takes them out, inside the caller's transaction."""

    def put(self, team_id: UUID, user_id: UUID, role: str, version: int | None) -> bool:
        """Give a user a role in a team; return whether the user is new there.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The team could not be changed, in this order.
            ConflictError: The team would be left without an owner.
        """
        TeamRepository(self._writing).hold(team_id, version)
        member = {"team_id": team_id, "user_id": user_id, "role": role}
        if self._session.rows(CHANGE_MEMBER_SQL, member):
            return False
        self._session.rows(ADD_MEMBER_SQL, member)
        return True

    def remove(self, team_id: UUID, user_id: UUID, version: int | None) -> None:
        """Take a user out of a team; every member may leave.

        Raises:
            NotFoundError, ForbiddenError, StaleError: The member could not be taken out, in this order.
            ConflictError: The team would be left without an owner.
        """
        member = {"team_id": team_id, "user_id": user_id}
        self._session.rows(HOLD_WHOLE_SQL, {"id": team_id})
        if self._session.rows(REMOVE_MEMBER_SQL, {**member, "version": version}):
            return
        if not self._session.rows(TEAM_VERSION_SQL, {"id": team_id}):
            raise unseen("team", team_id)
        raise self._no_row_changed(
            user_id,
            version,
            self._session.rows(MEMBER_VERSION_SQL, member),
            self._attempt(REMOVE_MEMBER_SQL, {**member, "version": None}),
        )
