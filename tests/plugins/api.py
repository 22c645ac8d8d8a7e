"""The real app on the real database, and callers of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.factory import create_app
from app.services.minting import issue_token
from config import Settings
from database.urls import DatabaseUrls
from tests.plugins.database import SECRET


@dataclass(frozen=True)
class Api:
    """One caller of the API."""

    client: FlaskClient
    token: str | None = None
    user_id: UUID | None = None

    def request(self, method: str, path: str, **kwargs: Any) -> TestResponse:
        """Send a request below /api/v1 (or to an absolute path given with a leading `//`)."""
        headers = dict(kwargs.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        address = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return self.client.open(address, method=method, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        """Send GET."""
        return self.request("GET", path, **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> TestResponse:
        """Send POST."""
        return self.request("POST", path, **({"json": json} if json is not None else {}), **kwargs)

    def patch(self, path: str, json: Any, **kwargs: Any) -> TestResponse:
        """Send PATCH."""
        return self.request("PATCH", path, json=json, **kwargs)

    def put(self, path: str, json: Any, **kwargs: Any) -> TestResponse:
        """Send PUT."""
        return self.request("PUT", path, json=json, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        """Send DELETE."""
        return self.request("DELETE", path, **kwargs)


@pytest.fixture(scope="session")
def settings(urls: DatabaseUrls, with_pooler: bool, tmp_path_factory: pytest.TempPathFactory) -> Settings:  # noqa: FBT001
    """Give the settings that the tests' app runs with."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        # The logins of requests and of the service are derived from it.
        database_url=urls.request if with_pooler else urls.admin,
        database_direct_url=urls.admin,
        transaction_pooler=with_pooler,
        jwt_secret=SECRET,
        pool_min=0,
        pool_max=4,
        rate_limits=False,
        log_level="ERROR",
        chemistry_time_limit_s=5.0,
    )


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    """Give the app of this worker."""
    application = create_app(settings)
    yield application
    close(application)


def close(application: Flask) -> None:
    """Close what an app holds open."""
    parts = application.extensions["cryoprotect"]
    parts.database.close()
    parts.chemistry.close()
    if parts.supabase_auth is not None:
        parts.supabase_auth.close()
    if parts.fallback is not None:
        parts.fallback.close()


@pytest.fixture
def make_app(settings: Settings) -> Iterator[Callable[..., Flask]]:
    """Give a maker of apps with other settings."""
    made: list[Flask] = []

    def make(**changes: Any) -> Flask:
        made.append(create_app(replace(settings, **changes)))
        return made[-1]

    yield make
    for application in made:
        close(application)


@pytest.fixture
def anon(app: Flask, emptied: None) -> Api:
    """Give a caller without a token."""
    return Api(app.test_client())


@pytest.fixture
def service(app: Flask, emptied: None) -> Api:
    """Give a caller with an unrestricted service token."""
    return Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=3600))


@pytest.fixture
def scoped(app: Flask, emptied: None) -> Callable[[str], Api]:
    """Give a maker of callers with a service token for one scope."""
    return lambda scope: Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=3600, scopes=[scope]))


@pytest.fixture
def make_user(app: Flask, emptied: None) -> Callable[[], Api]:
    """Give a maker of signed-in users."""

    def make() -> Api:
        user_id = uuid4()
        token = issue_token(SECRET, role="authenticated", ttl_s=3600, sub=user_id)
        return Api(app.test_client(), token, user_id)

    return make


@pytest.fixture
def alice(make_user: Callable[[], Api]) -> Api:
    """Give a user."""
    return make_user()


@pytest.fixture
def bob(make_user: Callable[[], Api]) -> Api:
    """Give another user, who shares nothing with alice."""
    return make_user()


@pytest.fixture
def make_project(admin: psycopg.Connection) -> Callable[..., UUID]:
    """Give a maker of projects by the members of its team, named by role."""
    numbers = itertools.count()

    def insert(statement: LiteralString, *values: object) -> UUID:
        row = admin.execute(statement, values).fetchone()
        assert row is not None
        return UUID(str(row[0]))

    def make(**members: Api) -> UUID:
        name = f"team {next(numbers)}"
        team_id = insert("INSERT INTO teams (name) VALUES (%s) RETURNING id", name)
        for role, member in members.items():
            admin.execute("INSERT INTO user_profiles (id) VALUES (%s) ON CONFLICT DO NOTHING", (member.user_id,))
            admin.execute(
                "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, %s)",
                (team_id, member.user_id, role),
            )
        return insert("INSERT INTO projects (team_id, name) VALUES (%s, %s) RETURNING id", team_id, name)

    return make
