"""Limits, version and caller under the API; health, metrics, OpenAPI and documentation beside it."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any, Final

from flask import Blueprint, Response, current_app, render_template
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from api.common import access
from api.common.body import takes
from api.common.conditional import answer, expected_version
from api.common.context import caller, reading, services
from api.common.effects import writing
from api.common.json import dumps
from api.common.openapi import Answer, build, describes
from api.common.resource import Api, Resource
from api.common.results import done
from api.experiments.answers import RELATED as EXPERIMENTS_RELATED
from api.imports.schemas import RELATED as IMPORTS_RELATED
from api.mixtures.answers import RELATED as MIXTURES_RELATED
from api.molecules.answers import RELATED as MOLECULES_RELATED
from api.optimizations.answers import RELATED as OPTIMIZATIONS_RELATED
from api.predictions.answers import RELATED as PREDICTIONS_RELATED
from api.projects.schemas import RELATED as PROJECTS_RELATED
from api.system.metrics import REGISTRY
from api.system.pool_state import POOL, pool_state
from api.teams.schemas import RELATED as TEAMS_RELATED
from api.teams.schemas import ProfileSchema
from api.tokens.schemas import RELATED as TOKENS_RELATED
from api.toxicity.answers import RELATED as TOXICITY_RELATED
from app import VERSION
from app.breaker import State
from app.domain.callers import SERVICE
from app.errors import CryoProtectError, UnavailableError
from app.seed import RELEASE
from database.repositories.base import Document
from database.repositories.maintenance import MaintenanceReader
from database.repositories.profiles import ProfileReader, ProfileRepository
from database.repositories.system import SystemRepository
from database.session import ReadSession

blueprint: Final = Blueprint("system", __name__)
root: Final = Blueprint("root", __name__, template_folder="templates")
api: Final = Api(blueprint)
_JSON: Final = "application/json"
READY_WAIT_S: Final = 2.0
PATIENCE_S: Final = 60.0
"""For how long a job may wait for a worker that nobody has heard of."""
"""For a connection: a load balancer that asks gives up soon, and has then learned nothing."""
_TEXT: Final = {"type": "string"}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
_RELATED: Final = (
    MOLECULES_RELATED
    | MIXTURES_RELATED
    | EXPERIMENTS_RELATED
    | PREDICTIONS_RELATED
    | OPTIMIZATIONS_RELATED
    | IMPORTS_RELATED
    | TEAMS_RELATED
    | PROJECTS_RELATED
    | TOKENS_RELATED
    | TOXICITY_RELATED
)
_ME: Final = Answer(
    "Me",
    {
        "type": "object",
        "properties": {
            "role": _TEXT,
            "user_id": _OPTIONAL_TEXT,
            "display_name": _OPTIONAL_TEXT,
            "scopes": {"type": ["array", "null"], "items": _TEXT},
        },
    },
    has_etag=True,
)


class LimitsResource(Resource):
    """The service's limits."""

    @access.public
    @describes(answer=Answer("Limits", {"type": "object"}))
    def get(self) -> Response:
        """Show request limits, body sizes and page sizes."""
        return Response(dumps(services().limits), content_type=_JSON)


class VersionResource(Resource):
    """The service's version."""

    @access.public
    @describes(
        answer=Answer(
            "Version",
            {"type": "object", "properties": {"version": _TEXT, "api": _TEXT, "data_release": _TEXT}},
        )
    )
    def get(self) -> Response:
        """Show the version of the service and of the data that it brings along."""
        said = {"version": VERSION, "api": "v1", "data_release": RELEASE}
        return Response(dumps(said), content_type=_JSON)


class PoolResource(Resource):
    """The connections to the database."""

    @access.service()
    @describes(answer=POOL)
    def get(self) -> Response:
        """Show the connection pools and the breaker of the worker that answers, and how they are set."""
        said = pool_state(services().database)
        return Response(dumps(said), content_type=_JSON, headers={"Cache-Control": "private, no-store"})


class MeResource(Resource):
    """The caller."""

    @access.public
    @describes(answer=_ME)
    def get(self) -> Response:
        """Show who the service takes the caller for."""
        return _me(ProfileReader(reading()) if caller().role == "authenticated" else None)

    @access.user("teams:write")
    @takes(ProfileSchema)
    @describes(answer=_ME, conditional=True)
    def patch(self, data: dict[str, Any]) -> Response:
        """Change how colleagues see the caller called."""
        version = expected_version()
        with writing() as effect:
            repository = ProfileRepository(effect.session)
            repository.change(data["display_name"], version)
            effect.answer = _me(repository)
        return done(effect)


def _me(profile: ProfileReader | None) -> Response:
    who = caller()
    display_name, version = profile.get() if profile else (None, 1)
    said = {"role": who.role, "user_id": who.user_id, "display_name": display_name, "scopes": who.scopes}
    return answer(Document(dumps(said), version), headers={"Cache-Control": "private, no-store"})


api.add_resource(LimitsResource, "/limits")
api.add_resource(VersionResource, "/version")
api.add_resource(PoolResource, "/system/pool")
api.add_resource(MeResource, "/me")


@root.get("/health/live")
@access.public
def live() -> Response:
    """Say that the process answers."""
    return Response(dumps({"status": "ok"}), content_type=_JSON, headers={"Cache-Control": "no-store"})


@root.get("/health/ready")
@access.public
def ready() -> Response:
    """Say whether the database answers and has the schema that this code needs, and whether all is well with it.

    Degraded is still ready: requests are answered, some of them late or by a refusal.
    """
    revision = _revision()
    head = current_app.config["MIGRATION_HEAD"]
    if revision != head:
        msg = f"the database is at {revision or 'nothing'}, this service needs {head}"
        raise UnavailableError(msg, retry_after_s=5, code="schema_not_at_head")
    database = services().database
    pools = database.pool_states
    reasons = [] if database.breaker.state is State.CLOSED else [f"breaker_{database.breaker.state.value}"]
    reasons += [f"pool_saturated: {pool.name}" for pool in pools if pool.saturated]
    replicas = database.replica_states
    reasons += [f"replica_not_used: {replica.name} {replica.reason}" for replica in replicas if replica.reason]
    queue = MaintenanceReader(_past_the_breaker()).state(limit_s=READY_WAIT_S)
    if not queue.workers and any(item.oldest_s > PATIENCE_S for item in queue.queues):
        reasons.append("no_worker: jobs wait, and no worker was heard of within a minute")
    said = {
        "status": "degraded" if reasons else "ok",
        "database": "ok",
        "revision": revision,
        "reasons": reasons,
        "breaker": database.breaker.state.value,
        "pools": [asdict(pool) for pool in pools],
        "replicas": [asdict(replica) for replica in replicas],
        "queue": {
            "workers": queue.workers,
            "waiting": sum(item.waiting for item in queue.queues),
            "oldest_waiting_s": max(item.oldest_s for item in queue.queues),
        },
    }
    return Response(dumps(said), content_type=_JSON, headers={"Cache-Control": "no-store"})


def _past_the_breaker() -> ReadSession:
    """Return a session that asks the database itself, not what is thought of it."""
    return services().database.reading(SERVICE, wait_s=READY_WAIT_S, anyway=True)


def _revision() -> str | None:
    try:
        return SystemRepository(_past_the_breaker()).revision()
    except CryoProtectError:
        raise
    except Exception as error:
        # A database without our tables, for one: not an error of ours, and nothing to send requests to.
        msg = "the database does not have the schema of this service"
        raise UnavailableError(msg, retry_after_s=5, code="schema_not_at_head") from error


@root.get("/metrics")
@access.public
def metrics() -> Response:
    """Give Prometheus the state of the service: numbers only, so that it needs no token."""
    said = generate_latest(REGISTRY)
    return Response(said, content_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})


@root.get("/openapi.json")
@access.public
def openapi() -> Response:
    """Give the OpenAPI document."""
    return Response(_document_json(), content_type=_JSON, headers={"Cache-Control": "public, max-age=300"})


@root.get("/docs")
@access.public
def docs() -> Response:
    """Show the documentation page; nothing on it comes from elsewhere."""
    page = Response(render_template("docs.html", document=_document()), content_type="text/html; charset=utf-8")
    page.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    page.headers["Cache-Control"] = "public, max-age=300"
    return page


@cache
def _document() -> dict[str, Any]:
    # One app a process, and its views do not change: made at the first call, then kept.
    return build(current_app._get_current_object(), VERSION, _RELATED)  # type: ignore[attr-defined]  # noqa: SLF001


@cache
def _document_json() -> bytes:
    return dumps(_document())
