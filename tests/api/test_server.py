"""What only a real server shows: chunked bodies, broken streams, slow clients, many requests at once."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from tests.api.bodies import DMSO, ETHANOL, alkanes
from tests.plugins.api import Api

TIMEOUT_S = 30
MEBIBYTE = 1024 * 1024
# `tcpi_data_segs_in` of Linux's `struct tcp_info`.
DATA_SEGMENTS_IN = slice(152, 156)


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def authorization(caller: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {caller.token}"}


def connect(url: str) -> socket.socket:
    return socket.create_connection(address(url), timeout=TIMEOUT_S)


def request_head(caller: Api, *headers: str, path: str = "/api/v1/molecules", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {caller.token}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def everything(connection: socket.socket) -> bytes:
    data = b""
    while block := connection.recv(65536):
        data += block
    return data


def problem(found: tuple[int, dict[str, str], bytes], status: int) -> dict[str, Any]:
    assert found[0] == status, found
    assert found[1]["content-type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(found[2])
    assert body["status"] == status
    return body


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for its count of segments")
def test_an_answer_in_one_piece_is_sent_at_once(gunicorn: str, anon: Api):
    with closing(connect(gunicorn)) as connection:
        connection.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = answer(connection)
        said = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)

    assert (status, bool(body)) == (200, True)
    assert int.from_bytes(said[DATA_SEGMENTS_IN], sys.byteorder) == 1


# Bodies.


def test_a_chunked_body_is_read(gunicorn: str, service: Api):
    def parts() -> Iterator[bytes]:
        for character in json.dumps(DMSO):
            yield character.encode()

    headers = {**authorization(service), "Content-Type": "application/json"}
    response = requests.post(f"{gunicorn}/api/v1/molecules", data=parts(), headers=headers, timeout=TIMEOUT_S)

    assert response.status_code == 201


@pytest.mark.parametrize(
    ("path", "kind", "line"),
    [
        ("/molecules", "application/json", b" "),
        ("/molecules/lookup", "application/json", b" "),
        ("/molecules/batch", "application/json", b" "),
        ("/molecules/batch", "application/x-ndjson", b"\n"),
    ],
)
def test_a_chunked_body_over_the_limit_is_413_and_not_cut_off_there(  # noqa: PLR0913, PLR0917 - a table and its fixtures
    gunicorn: str, service: Api, admin: psycopg.Connection, path: str, kind: str, line: bytes
):
    start = json.dumps({"cids": [679]} if "lookup" in path else DMSO).encode()
    with closing(connect(gunicorn)) as connection:
        headers = (f"Content-Type: {kind}", "Transfer-Encoding: chunked")
        connection.sendall(request_head(service, *headers, path=f"/api/v1{path}"))
        for number in range(11):
            block = (b"" if number else start).ljust(MEBIBYTE, line)
            connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
        connection.sendall(b"0\r\n\r\n")

        problem(answer(connection), 413)

    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (0,)


def test_a_chunked_body_within_the_limit_is_read_to_its_end(gunicorn: str, service: Api):
    lines = [json.dumps(body).encode().ljust(MEBIBYTE) + b"\n" for body in alkanes(9)]
    headers = {**authorization(service), "Content-Type": "application/x-ndjson"}

    response = requests.post(f"{gunicorn}/api/v1/molecules/batch", data=iter(lines), headers=headers, timeout=TIMEOUT_S)

    assert response.json()["added"] == 9


def test_a_body_that_says_to_be_over_the_limit_is_413_before_any_of_it_is_sent(gunicorn: str, service: Api):
    with closing(connect(gunicorn)) as connection:
        connection.sendall(request_head(service, "Content-Type: application/json", f"Content-Length: {10**9}"))
        started = time.monotonic()

        problem(answer(connection), 413)

        assert time.monotonic() - started < TIMEOUT_S / 2


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 10", "Content-Length: 11"),
        ("Content-Length: -1",),
        ("Content-Length: 1e3",),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: nonsense",),
        ("Bad Header",),
        ("X-Long: " + "x" * 20_000,),
    ],
    ids=lambda headers: headers[0][:24],
)
def test_a_request_that_cannot_be_told_from_two_is_refused_as_a_problem(
    gunicorn: str, service: Api, headers: tuple[str, ...]
):
    with closing(connect(gunicorn)) as connection:
        connection.sendall(request_head(service, "Content-Type: application/json", *headers) + b"{}")
        status, said, body = answer(connection)

    assert 400 <= status < 600
    assert said["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status


def test_two_authorization_headers_are_401(gunicorn: str, service: Api):
    with closing(connect(gunicorn)) as connection:
        again = f"Authorization: Bearer {service.token}"
        connection.sendall(request_head(service, again, method="GET"))

        problem(answer(connection), 401)


def test_slow_bodies_hold_no_database_connection(gunicorn: str, service: Api, admin: psycopg.Connection):
    bodies = [json.dumps(body).encode() for body in alkanes(6)]
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(gunicorn))) for _ in bodies]
        for connection, body in zip(slow, bodies, strict=True):
            head = request_head(service, "Content-Type: application/json", f"Content-Length: {len(body)}")
            connection.sendall(head + body[:10])

        reads = [requests.get(f"{gunicorn}/api/v1/molecules", timeout=TIMEOUT_S) for _ in range(5)]
        write = requests.post(
            f"{gunicorn}/api/v1/molecules", json=ETHANOL, headers=authorization(service), timeout=TIMEOUT_S
        )
        (held,) = admin.execute(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND usename LIKE 'cryoprotect%' AND state <> 'idle'
            """
        ).fetchone() or (None,)
        for connection, body in zip(slow, bodies, strict=True):
            connection.sendall(body[10:])
        answers = [answer(connection)[0] for connection in slow]

    assert [response.status_code for response in reads] == [200] * 5
    assert write.status_code == 201
    assert held == 0
    assert answers == [201] * 6


# Streams.


@pytest.fixture
def polymers(service: Api, admin: psycopg.Connection) -> int:
    """Give the number of public records, enough for several chunks."""
    admin.execute(
        """
        INSERT INTO molecules (name, kind, is_public)
        SELECT 'polymer ' || n, 'polymer', true FROM generate_series(1, 2500) AS n
        """
    )
    return 2500


@pytest.mark.parametrize("style", ["ndjson", "csv"])
def test_a_whole_stream_has_every_record_and_its_final_chunk(gunicorn: str, polymers: int, style: str, anon: Api):
    with closing(connect(gunicorn)) as connection:
        path = f"/api/v1/molecules?format={style}"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = everything(connection)

    assert b"Transfer-Encoding: chunked" in data
    assert data.endswith(b"\r\n0\r\n\r\n")
    assert data.count(b"polymer ") == polymers


@pytest.mark.parametrize("style", ["ndjson", "csv"])
def test_a_stream_that_fails_ends_without_its_final_chunk(gunicorn: str, polymers: int, style: str, anon: Api):
    with closing(connect(gunicorn)) as connection:
        head = f"GET /api/v1/molecules?format={style} HTTP/1.1\r\nHost: x\r\nX-Break-Stream: 1\r\n\r\n"
        connection.sendall(head.encode())
        data = everything(connection)

    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.count(b"polymer ") == 1000
    assert not data.endswith(b"0\r\n\r\n")
    assert b"the database went away" not in data
    assert b"Traceback" not in data


@pytest.mark.parametrize("style", ["ndjson", "csv", "sdf", "smiles"])
def test_a_client_can_tell_that_a_stream_failed(gunicorn: str, service: Api, style: str):
    service.post("/molecules/batch", alkanes(3))

    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        requests.get(f"{gunicorn}/api/v1/molecules?format={style}", headers={"X-Break-Stream": "1"}, timeout=TIMEOUT_S)


def test_a_parquet_file_that_fails_is_never_a_file(gunicorn: str, service: Api):
    service.post("/molecules/batch", alkanes(3))
    try:
        response = requests.get(
            f"{gunicorn}/api/v1/molecules?format=parquet", headers={"X-Break-Stream": "1"}, timeout=TIMEOUT_S
        )
    except requests.exceptions.RequestException:
        return

    assert response.status_code >= 500
    assert not response.content.startswith(b"PAR1")


def test_the_server_goes_on_after_broken_streams(gunicorn: str, polymers: int, anon: Api):
    for _ in range(5):
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(
                f"{gunicorn}/api/v1/molecules?format=ndjson", headers={"X-Break-Stream": "1"}, timeout=TIMEOUT_S
            )

    assert requests.get(f"{gunicorn}/health/ready", timeout=TIMEOUT_S).status_code == 200


def test_clients_that_hang_up_half_way_leave_no_connection_behind(
    gunicorn: str, polymers: int, admin: psycopg.Connection, anon: Api
):
    for _ in range(6):
        with closing(connect(gunicorn)) as connection:
            connection.sendall(b"GET /api/v1/molecules?format=ndjson&detail=full HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(1000)

    answers = [requests.get(f"{gunicorn}/api/v1/molecules", timeout=TIMEOUT_S) for _ in range(6)]

    assert [response.status_code for response in answers] == [200] * 6
    assert admin.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    ).fetchone() == (0,)


def test_a_slow_reader_holds_no_database_connection(gunicorn: str, polymers: int, admin: psycopg.Connection, anon: Api):
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(closing(connect(gunicorn)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /api/v1/molecules?format=ndjson&detail=full HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(10)

        response = requests.get(f"{gunicorn}/api/v1/molecules?limit=1", timeout=TIMEOUT_S)

    assert response.status_code == 200


def test_a_head_of_a_stream_has_no_body_and_the_connection_goes_on(gunicorn: str, polymers: int, anon: Api):
    connection = http.client.HTTPConnection(*address(gunicorn), timeout=TIMEOUT_S)
    try:
        connection.request("HEAD", "/api/v1/molecules?format=csv")
        head = connection.getresponse()
        body = head.read()
        connection.request("GET", "/api/v1/version")
        after = connection.getresponse()

        assert (head.status, body) == (200, b"")
        assert head.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert (after.status, json.loads(after.read())["api"]) == (200, "v1")
    finally:
        connection.close()


# Many at once.


def test_50_parallel_posts_with_one_key_make_one_row(gunicorn: str, alice: Api, admin: psycopg.Connection):
    headers = {**authorization(alice), "Idempotency-Key": "once"}

    def post(_: int) -> requests.Response:
        while True:
            response = requests.post(f"{gunicorn}/api/v1/molecules", json=DMSO, headers=headers, timeout=TIMEOUT_S)
            if response.status_code != 409:
                return response
            assert response.json()["code"] == "request_in_progress"
            assert int(response.headers["Retry-After"]) >= 1

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(post, range(50)))

    assert {response.status_code for response in answers} == {201}
    assert len({response.content for response in answers}) == 1
    assert sum("Idempotent-Replayed" not in response.headers for response in answers) == 1
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (1,)
    assert admin.execute("SELECT count(*) FROM private.idempotency_keys").fetchone() == (1,)


def test_50_parallel_posts_of_one_structure_make_one_row(gunicorn: str, alice: Api, admin: psycopg.Connection):
    def post(_: int) -> requests.Response:
        return requests.post(f"{gunicorn}/api/v1/molecules", json=DMSO, headers=authorization(alice), timeout=TIMEOUT_S)

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(post, range(50)))

    (row,) = admin.execute("SELECT id::text FROM molecules").fetchall()
    assert sorted(response.status_code for response in answers) == [201] + [409] * 49
    assert {response.json().get("existing_id", row[0]) for response in answers} == {row[0]}


def test_of_20_parallel_changes_of_one_version_one_is_made(gunicorn: str, alice: Api):
    created = alice.post("/molecules", DMSO)
    url = gunicorn + created.headers["Location"]
    headers = {**authorization(alice), "If-Match": created.headers["ETag"]}

    def patch(number: int) -> int:
        return requests.patch(url, json={"name": f"name {number}"}, headers=headers, timeout=TIMEOUT_S).status_code

    with ThreadPoolExecutor(20) as threads:
        statuses = sorted(threads.map(patch, range(20)))

    assert statuses == [200] + [412] * 19
    assert requests.get(url, headers=authorization(alice), timeout=TIMEOUT_S).json()["version"] == 2


def test_callers_at_once_each_see_their_own_rows(gunicorn: str, make_user: Callable[[], Api], anon: Api):
    users = [make_user() for _ in range(6)]
    for number, user in enumerate(users):
        user.post("/molecules", {**DMSO, "name": f"of user {number}"})

    def look(turn: int) -> bool:
        number = turn % 7
        headers = authorization(users[number]) if number < 6 else {}
        body = requests.get(f"{gunicorn}/api/v1/molecules", headers=headers, timeout=TIMEOUT_S).json()
        return [record["name"] for record in body["data"]] == ([f"of user {number}"] if number < 6 else [])

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(look, range(140)))


def test_chemistry_under_way_does_not_keep_others_waiting(gunicorn: str, service: Api, anon: Api):
    heavy = [{"name": f"heavy {n}", "smiles": "C1" + "CC(C)" * (40 + n) + "C1"} for n in range(24)]
    with ThreadPoolExecutor(1) as thread:
        batch = thread.submit(
            requests.post,
            f"{gunicorn}/api/v1/molecules/batch",
            json=heavy,
            headers=authorization(service),
            timeout=4 * TIMEOUT_S,
        )
        seen = 0
        while not batch.done():
            assert requests.get(f"{gunicorn}/api/v1/version", timeout=TIMEOUT_S).status_code == 200
            seen += 1

    assert batch.result().status_code == 200
    assert seen > 5
