"""A little server on this machine that does for `/rest/v1/rpc/...` what Supabase's gateway and PostgREST do.

The gateway wants the project's key, and takes it as the token of a visitor; PostgREST verifies a user's token, becomes
its role in a read-only transaction with its claims, and calls the function with the body's members as named arguments.
Errors have its shape: https://docs.postgrest.org/en/latest/references/errors.html.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
import psycopg
from psycopg import sql

from tests.plugins.supabase_auth import Answer

KEY: Final = "sb_publishable_key-of-the-project"
RPC: Final = "/rest/v1/rpc/"
NO_SUCH_FUNCTION: Final = {"code": "PGRST202", "message": "Could not find the function", "details": None, "hint": None}
IDENTITY_SQL: Final = """
SELECT set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true),
    set_config('transaction_read_only', 'on', true)
"""
ARGUMENTS_SQL: Final = """
SELECT coalesce(array_agg(name), '{}'), coalesce(array_agg(type::regtype::text), '{}')
FROM pg_proc AS p
CROSS JOIN unnest(p.proargnames, p.proargtypes::oid[]) AS argument (name, type)
WHERE p.pronamespace = 'public'::regnamespace AND p.proname = %(function)s
"""
STATUSES: Final = {"42501": 403, "57014": 500}
"""By SQLSTATE; 400 where it is not here."""


@dataclass
class PostgREST:
    """The server: what it was asked, and what it answers instead of the usual."""

    url: str
    database_url: str
    secret: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    instead: Answer | None = None
    announced: int | None = None
    """Bytes that an answer says it has, where it breaks off before."""

    def answer(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        """Return the answer to a call."""
        self.requests.append({"path": path, "headers": headers, "body": body})
        if self.instead is not None:
            return self.instead
        if headers.get("apikey") != KEY:
            return Answer(401, {"message": "No API key found in request"})
        token = headers["authorization"].removeprefix("Bearer ")
        try:
            # Unlike the service this takes no token that is past its end.
            claims = {"role": "anon"} if token == KEY else self._claims(token)
        except jwt.ExpiredSignatureError:
            return Answer(401, {"code": "PGRST303", "details": None, "hint": None, "message": "JWT expired"})
        except jwt.PyJWTError:
            return Answer(401, {"code": "PGRST301", "details": None, "hint": None, "message": "JWSError"})
        return self._call(path.removeprefix(RPC), claims, body)

    def _claims(self, token: str) -> dict[str, Any]:
        return dict(jwt.decode(token, self.secret, algorithms=["HS256"], audience="authenticated"))

    def _call(self, function: str, claims: Mapping[str, Any], body: Mapping[str, Any]) -> Answer:
        with psycopg.connect(self.database_url) as connection:
            ((names, types),) = connection.execute(ARGUMENTS_SQL, {"function": function}).fetchall()
            if not names or not set(body) <= set(names):
                return Answer(404, NO_SUCH_FUNCTION)
            kinds = dict(zip(names, types, strict=True))
            connection.execute(IDENTITY_SQL, {"role": claims["role"], "claims": json.dumps(claims)})
            try:
                ((text,),) = connection.execute(_statement(function, kinds, body), (json.dumps(body),)).fetchall()
            except psycopg.Error as error:
                code, message = str(error.sqlstate), error.diag.message_primary
                said = {"code": code, "message": message, "details": None, "hint": None}
                return Answer(STATUSES.get(code, 400), said)
        return Answer(200, str(text).encode())


def _statement(function: str, kinds: Mapping[str, str], body: Mapping[str, Any]) -> sql.Composed:
    given = [name for name in kinds if name in body]
    call = sql.SQL("{}({})").format(
        sql.Identifier("public", function),
        sql.SQL(", ").join(sql.SQL("{0} := b.{0}").format(sql.Identifier(name)) for name in given),
    )
    if not given:
        return sql.SQL("SELECT coalesce((json_agg({}) -> 0)::text, 'null') WHERE %s <> ''").format(call)
    columns = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kinds[name])) for name in given)
    return sql.SQL(
        "SELECT coalesce((json_agg(c.answer) -> 0)::text, 'null')"
        " FROM json_to_record(%s::json) AS b ({}), LATERAL (SELECT {} AS answer) AS c"
    ).format(columns, call)


@contextmanager
def serving(database_url: str, secret: str) -> Iterator[PostgREST]:
    """Give the server, which listens for as long as the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: nobody waits for an acknowledgement between them.
        wbufsize = -1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = made.answer(self.path, headers, body)
            time.sleep(answer.delay_s)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            # Gateways set cookies, which are one caller's.
            usual = {"Content-Type": "application/json; charset=utf-8", "Set-Cookie": "caller=1; Path=/"}
            for name, value in {**usual, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(made.announced or len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = made.announced is not None

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # whoever waits no longer has hung up
    made = PostgREST(f"http://127.0.0.1:{server.server_address[1]}", database_url, secret)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
