"""The strong peer: FastAPI with asyncpg, written by somebody who knows both.

It does the service's protected work and nothing more: the token is verified, one READ ONLY transaction
takes the caller's role and claims with bound values, the service's own statement lets Postgres build
the JSON, which goes out as the bytes that came in. uvloop and httptools underneath; statements are
prepared and cached by asyncpg; the pool does not reset connections, since every setting is local to
its transaction; JSON columns arrive as bytes. There is no access log and no middleware.

Each request's token is verified by PyJWT, as FastAPI's users do it. The service remembers tokens that it
verified lately; `BENCH_REMEMBERS_TOKENS=on` lets this peer do so too, and the benchmark shows both.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import jwt
import orjson
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from jwt.types import Options
from psycopg.conninfo import conninfo_to_dict

from benchmarks.peers.settings import PeerSettings
from benchmarks.statements import Numbered, get_one, numbered, page_request
from database.listing import compose_page
from database.repositories.molecules import MOLECULES
from database.session import WRITE_PREAMBLE_SQL

SETTINGS = PeerSettings.from_environment()
PREAMBLE = numbered(WRITE_PREAMBLE_SQL)
GET_ONE = numbered(get_one())
ALGORITHMS = ["HS256"]
REQUIRED: Options = {"require": ["exp", "sub", "aud", "role"]}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the pool open while the worker runs."""
    # libpq takes the host from a URL's query where there is one; asyncpg has to be told.
    where = conninfo_to_dict(SETTINGS.database_url)
    async with asyncpg.create_pool(
        host=where["host"],
        port=where.get("port", 5432),
        database=where["dbname"],
        user=where["user"],
        password=where.get("password"),
        min_size=SETTINGS.pool_size,
        max_size=SETTINGS.pool_size,
        init=prepare_connection,
        reset=keep_as_is,
    ) as pool:
        app.state.pool = pool
        yield


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Let JSON columns arrive as the bytes that Postgres sends."""
    await connection.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")


async def keep_as_is(connection: asyncpg.Connection) -> None:
    """Leave out the statement that asyncpg would send when a connection goes back."""


app = FastAPI(lifespan=lifespan, openapi_url=None)


async def caller(request: Request) -> str:
    """Return the verified claims as JSON; async, so that FastAPI calls it in place and not in a thread."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    try:
        claims_json, expires_at_s = verify(token)
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    if expires_at_s <= time.time():
        raise HTTPException(401)
    return claims_json


def decode(token: str) -> tuple[str, float]:
    """Return the claims as JSON and when they expire."""
    claims = jwt.decode(token, SETTINGS.jwt_secret, ALGORITHMS, audience="authenticated", options=REQUIRED)
    if claims["role"] != "authenticated":
        raise jwt.InvalidTokenError
    return orjson.dumps(claims).decode(), claims["exp"]


verify = lru_cache(maxsize=1024)(decode) if SETTINGS.remembers_tokens else decode

Claims = Annotated[str, Depends(caller)]


@app.get("/api/v1/molecules/{molecule_id}")
async def get_molecule(molecule_id: UUID, request: Request, claims: Claims) -> Response:
    """Return one molecule."""
    rows = await fetch(request, claims, GET_ONE.text, [molecule_id])
    if not rows:
        raise HTTPException(404)
    document, version = rows[0]
    etag = f'"{version}-{hashlib.blake2b(document, digest_size=8).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"etag": etag})
    return Response(document, media_type="application/json", headers={"etag": etag, "vary": "Authorization"})


@app.get("/api/v1/molecules")
async def list_molecules(  # noqa: PLR0913, PLR0917 (query parameters)
    request: Request,
    claims: Claims,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    molar_mass_g_mol__gte: float | None = None,
    molar_mass_g_mol__lt: float | None = None,
    include: Literal["identifiers"] | None = None,
) -> Response:
    """Return the newest molecules, all or those in a range of molar masses."""
    values: dict[str, object] = {"f0": molar_mass_g_mol__gte, "f1": molar_mass_g_mol__lt, "limit": limit + 1}
    statement = page_statement(limit, molar_mass_g_mol__gte is not None, include is not None)
    rows = await fetch(request, claims, statement.text, statement.arguments(values))
    shown = rows[:limit]
    cursor = b"null"
    headers = {"vary": "Authorization"}
    if len(rows) > limit:
        text = base64.urlsafe_b64encode(orjson.dumps(list(shown[-1])[1:])).decode()
        cursor = orjson.dumps(text)
        headers["link"] = f'<{request.url.include_query_params(cursor=text)}>; rel="next"'
    body = b'{"data":[%b],"page":{"limit":%d,"next":%b,"count":null}}' % (
        b",".join([row[0] for row in shown]),
        limit,
        cursor,
    )
    return Response(body, media_type="application/json", headers=headers)


@lru_cache
def page_statement(limit: int, by_mass: bool, with_identifiers: bool) -> Numbered:  # noqa: FBT001 (lru_cache's key)
    """Return the statement of a page."""
    request = page_request(by_mass=by_mass, with_identifiers=with_identifiers)
    return numbered(compose_page(MOLECULES, replace(request, limit=limit)).statement)


async def fetch(request: Request, claims: str, statement: str, arguments: list[object]) -> list[Any]:
    """Return the rows that the caller may see, read in one transaction."""
    async with request.app.state.pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.fetchrow(PREAMBLE.text, "authenticated", claims, "")
        return await connection.fetch(statement, *arguments)  # type: ignore[no-any-return]
