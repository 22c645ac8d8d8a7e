"""Projects, the teams that are invited to them, and what they share."""

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
from api.molecules.formats import MOLECULE_FORMATS
from api.projects.schemas import InvitedRoleSchema, NewProjectSchema, ProjectChangeSchema
from database.listing import Shape
from database.repositories.experiments import EXPERIMENTS, EXPERIMENTS_OF_PROJECT, ExperimentReader
from database.repositories.mixtures import MIXTURES, MixtureReader
from database.repositories.molecules import MOLECULES, MoleculeReader
from database.repositories.predictions import PREDICTIONS, PREDICTIONS_OF_PROJECT, PredictionReader
from database.repositories.projects import (
    INVITATIONS,
    PROJECTS,
    TEAMS_OF_PROJECT,
    InvitationReader,
    InvitationRepository,
    ProjectReader,
    ProjectRepository,
)
from database.repositories.shares import (
    MIXTURE_SHARES,
    MIXTURES_OF_PROJECT,
    MOLECULE_SHARES,
    MOLECULES_OF_PROJECT,
    Junction,
    ShareRepository,
)
from database.repositories.toxicity import RESULTS, RESULTS_OF_PROJECT, ResultReader

blueprint: Final = Blueprint("projects", __name__)
api: Final = Api(blueprint)


class ProjectsResource(Resource):
    """The caller's projects."""

    @access.user()
    @lists(PROJECTS)
    @describes(listing=PROJECTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the projects of the caller's teams and those that these are invited to."""
        return answer_list(ProjectReader(reading()), query, TABLE_FORMATS)

    @access.user("projects:write")
    @takes(NewProjectSchema)
    @describes(record=PROJECTS, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Make a project in a team; for its owners and editors."""
        with writing() as effect:
            repository = ProjectRepository(effect.session)
            project_id = repository.add(data["team_id"], data["name"], data["description"])
            location = url_for("projects.projectresource", project_id=project_id)
            effect.answer = answer(repository.get(project_id), 201, {"Location": location})
        return done(effect)


class ProjectResource(Resource):
    """One project."""

    @access.user()
    @shapes(PROJECTS)
    @describes(record=PROJECTS)
    def get(self, project_id: UUID, shape: Shape) -> Response:
        """Get one project."""
        return answer(ProjectReader(reading()).get(project_id, shape))

    @access.user("projects:write")
    @takes(ProjectChangeSchema)
    @describes(record=PROJECTS, conditional=True)
    def patch(self, project_id: UUID, data: dict[str, Any]) -> Response:
        """Change a project's name or description; for owners and editors of its own team."""
        version = expected_version()
        with writing() as effect:
            repository = ProjectRepository(effect.session)
            repository.change(project_id, data, version)
            effect.answer = answer(repository.get(project_id))
        return done(effect)

    @access.user("projects:write")
    @describes(status=204, conditional=True)
    def delete(self, project_id: UUID) -> Response:
        """Delete a project that holds no records; what was shared with it stays with those who shared it."""
        version = expected_version()
        with writing() as effect:
            ProjectRepository(effect.session).remove(project_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class ProjectTeamsResource(Resource):
    """The teams that are invited to one project."""

    @access.user()
    @lists(INVITATIONS, TEAMS_OF_PROJECT)
    @describes(listing=INVITATIONS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the other teams that work on a project."""
        return answer_list(InvitationReader(reading()), query, TABLE_FORMATS)


class ProjectTeamResource(Resource):
    """One team that is invited to one project."""

    @access.user()
    @describes(record=INVITATIONS)
    def get(self, project_id: UUID, team_id: UUID) -> Response:
        """Get one invited team; the ETag has the project's version."""
        return answer(InvitationReader(reading()).get(team_id, parent=project_id))

    @access.user("projects:write")
    @takes(InvitedRoleSchema)
    @describes(record=INVITATIONS, status=201, again=200, conditional=True)
    def put(self, project_id: UUID, team_id: UUID, data: dict[str, Any]) -> Response:
        """Let another of the caller's teams work on a project; raises the project's version."""
        version = expected_version()
        with writing() as effect:
            repository = InvitationRepository(effect.session)
            is_new = repository.put(project_id, team_id, data["role"], version)
            headers = {"Location": url_for("projects.projectteamresource", project_id=project_id, team_id=team_id)}
            invitation = repository.get(team_id, parent=project_id)
            effect.answer = answer(invitation, 201, headers) if is_new else answer(invitation)
        return done(effect)

    @access.user("projects:write")
    @describes(status=204, conditional=True)
    def delete(self, project_id: UUID, team_id: UUID) -> Response:
        """Take an invitation back, or give it back; raises the project's version."""
        version = expected_version()
        with writing() as effect:
            InvitationRepository(effect.session).remove(project_id, team_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class ProjectMoleculesResource(Resource):
    """The molecules of one project."""

    @access.user()
    @lists(MOLECULES, MOLECULES_OF_PROJECT)
    @describes(listing=MOLECULES, formats=MOLECULE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the molecules that are in a project or shared with it."""
        return answer_list(MoleculeReader(reading()), query, MOLECULE_FORMATS)


class ProjectMoleculeResource(Resource):
    """One molecule in the eyes of one project."""

    @access.user("projects:write")
    @describes(status=201, again=204, conditional=True)
    def put(self, project_id: UUID, molecule_id: UUID) -> Response:
        """Share a molecule with a project; `If-Match` is of the project, whose version this raises."""
        return share(MOLECULE_SHARES, project_id, molecule_id)

    @access.user("projects:write")
    @describes(status=204, conditional=True)
    def delete(self, project_id: UUID, molecule_id: UUID) -> Response:
        """Share a molecule with a project no longer; `If-Match` is of the project, whose version this raises."""
        return unshare(MOLECULE_SHARES, project_id, molecule_id)


class ProjectMixturesResource(Resource):
    """The mixtures of one project."""

    @access.user()
    @lists(MIXTURES, MIXTURES_OF_PROJECT)
    @describes(listing=MIXTURES, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the mixtures that are in a project or shared with it."""
        return answer_list(MixtureReader(reading()), query, TABLE_FORMATS)


class ProjectMixtureResource(Resource):
    """One mixture in the eyes of one project."""

    @access.user("projects:write")
    @describes(status=201, again=204, conditional=True)
    def put(self, project_id: UUID, mixture_id: UUID) -> Response:
        """Share a mixture with a project; `If-Match` is of the project, whose version this raises."""
        return share(MIXTURE_SHARES, project_id, mixture_id)

    @access.user("projects:write")
    @describes(status=204, conditional=True)
    def delete(self, project_id: UUID, mixture_id: UUID) -> Response:
        """Share a mixture with a project no longer; `If-Match` is of the project, whose version this raises."""
        return unshare(MIXTURE_SHARES, project_id, mixture_id)


class ProjectExperimentsResource(Resource):
    """The experiments of one project."""

    @access.user()
    @lists(EXPERIMENTS, EXPERIMENTS_OF_PROJECT)
    @describes(listing=EXPERIMENTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the experiments that are in a project."""
        return answer_list(ExperimentReader(reading()), query, TABLE_FORMATS)


class ProjectPredictionsResource(Resource):
    """The predictions of one project."""

    @access.user()
    @lists(PREDICTIONS, PREDICTIONS_OF_PROJECT)
    @describes(listing=PREDICTIONS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List what was predicted of the mixtures and molecules that are in a project or shared with it."""
        return answer_list(PredictionReader(reading()), query, TABLE_FORMATS)


class ProjectToxicityResource(Resource):
    """The toxicity of one project's molecules."""

    @access.user()
    @lists(RESULTS, RESULTS_OF_PROJECT)
    @describes(listing=RESULTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List what assays found of the molecules that are in a project or shared with it."""
        return answer_list(ResultReader(reading()), query, TABLE_FORMATS)


def share(junction: Junction, project_id: UUID, record_id: UUID) -> Response:
    """Share a record with a project: 201, or 204 where it was shared already."""
    version = expected_version()
    with writing() as effect:
        is_new = ShareRepository(effect.session, junction).add(project_id, record_id, version)
        effect.answer = Response(status=201 if is_new else 204)
    return done(effect)


def unshare(junction: Junction, project_id: UUID, record_id: UUID) -> Response:
    """Share a record with a project no longer."""
    version = expected_version()
    with writing() as effect:
        ShareRepository(effect.session, junction).remove(project_id, record_id, version)
        effect.answer = Response(status=204)
    return done(effect)


api.add_resource(ProjectsResource, "/projects")
api.add_resource(ProjectResource, "/projects/<uuid:project_id>")
api.add_resource(ProjectTeamsResource, "/projects/<uuid:project_id>/teams")
api.add_resource(ProjectTeamResource, "/projects/<uuid:project_id>/teams/<uuid:team_id>")
api.add_resource(ProjectMoleculesResource, "/projects/<uuid:project_id>/molecules")
api.add_resource(ProjectMoleculeResource, "/projects/<uuid:project_id>/molecules/<uuid:molecule_id>")
api.add_resource(ProjectMixturesResource, "/projects/<uuid:project_id>/mixtures")
api.add_resource(ProjectMixtureResource, "/projects/<uuid:project_id>/mixtures/<uuid:mixture_id>")
api.add_resource(ProjectExperimentsResource, "/projects/<uuid:project_id>/experiments")
api.add_resource(ProjectPredictionsResource, "/projects/<uuid:project_id>/predictions")
api.add_resource(ProjectToxicityResource, "/projects/<uuid:project_id>/toxicity")
