"""Teams and their members."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, url_for

from api.common import access
from api.common.body import takes
from api.common.conditional import answer, expected_version
from api.common.context import reading
from api.common.effects import writing
from api.common.formats import TABLE_FORMATS, answer_list
from api.common.listing import ListQuery, lists, shapes
from api.common.openapi import describes
from api.common.resource import Api, Resource
from api.common.results import done
from api.teams.schemas import MemberRoleSchema, TeamNameSchema
from database.listing import Shape
from database.repositories.teams import (
    MEMBERS,
    MEMBERS_OF_TEAM,
    TEAMS,
    MemberReader,
    MemberRepository,
    TeamReader,
    TeamRepository,
)

blueprint: Final = Blueprint("teams", __name__)
api: Final = Api(blueprint)


class TeamsResource(Resource):
    """The caller's teams."""

    @access.user()
    @lists(TEAMS)
    @describes(listing=TEAMS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the teams that the caller is in."""
        return answer_list(TeamReader(reading()), query, TABLE_FORMATS)

    @access.user("teams:write")
    @takes(TeamNameSchema)
    @describes(record=TEAMS, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Make a team; the caller is its first owner."""
        with writing() as effect:
            repository = TeamRepository(effect.session)
            team_id = repository.add(data["name"])
            location = url_for("teams.teamresource", team_id=team_id)
            effect.answer = answer(repository.get(team_id), 201, {"Location": location})
        return done(effect)


class TeamResource(Resource):
    """One team."""

    @access.user()
    @shapes(TEAMS)
    @describes(record=TEAMS)
    def get(self, team_id: UUID, shape: Shape) -> Response:
        """Get one team."""
        return answer(TeamReader(reading()).get(team_id, shape))

    @access.user("teams:write")
    @takes(TeamNameSchema)
    @describes(record=TEAMS, conditional=True)
    def patch(self, team_id: UUID, data: dict[str, Any]) -> Response:
        """Give a team another name; for its owners."""
        version = expected_version()
        with writing() as effect:
            repository = TeamRepository(effect.session)
            repository.change(team_id, data["name"], version)
            effect.answer = answer(repository.get(team_id))
        return done(effect)

    @access.user("teams:write")
    @describes(status=204, conditional=True)
    def delete(self, team_id: UUID) -> Response:
        """Delete a team that has no projects; for its owners."""
        version = expected_version()
        with writing() as effect:
            TeamRepository(effect.session).remove(team_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class TeamMembersResource(Resource):
    """The members of one team."""

    @access.user()
    @lists(MEMBERS, MEMBERS_OF_TEAM)
    @describes(listing=MEMBERS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the members of a team."""
        return answer_list(MemberReader(reading()), query, TABLE_FORMATS)


class TeamMemberResource(Resource):
    """One member of one team."""

    @access.user()
    @describes(record=MEMBERS)
    def get(self, team_id: UUID, user_id: UUID) -> Response:
        """Get one member; the ETag has the team's version."""
        return answer(MemberReader(reading()).get(user_id, parent=team_id))

    @access.user("teams:write")
    @takes(MemberRoleSchema)
    @describes(record=MEMBERS, status=201, again=200, conditional=True)
    def put(self, team_id: UUID, user_id: UUID, data: dict[str, Any]) -> Response:
        """Put a user into a team, or give a member another role; raises the team's version."""
        version = expected_version()
        with writing() as effect:
            repository = MemberRepository(effect.session)
            is_new = repository.put(team_id, user_id, data["role"], version)
            headers = {"Location": url_for("teams.teammemberresource", team_id=team_id, user_id=user_id)}
            member = repository.get(user_id, parent=team_id)
            effect.answer = answer(member, 201, headers) if is_new else answer(member)
        return done(effect)

    @access.user("teams:write")
    @describes(status=204, conditional=True)
    def delete(self, team_id: UUID, user_id: UUID) -> Response:
        """Take a user out of a team, or leave it; raises the team's version."""
        version = expected_version()
        with writing() as effect:
            MemberRepository(effect.session).remove(team_id, user_id, version)
            effect.answer = Response(status=204)
        return done(effect)


api.add_resource(TeamsResource, "/teams")
api.add_resource(TeamResource, "/teams/<uuid:team_id>")
api.add_resource(TeamMembersResource, "/teams/<uuid:team_id>/members")
api.add_resource(TeamMemberResource, "/teams/<uuid:team_id>/members/<uuid:user_id>")
