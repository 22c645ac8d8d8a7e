"""What a newcomer, an operator and a power cut do to `cryoprotect serve`."""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from tests.machine.conftest import PASSWORD, ROOT, TIMEOUT_S, Serving

with (ROOT / "app" / "seed" / "molecules.csv").open(encoding="utf-8", newline="") as lines:
    SEEDED = sum(1 for _ in csv.DictReader(lines))

pytestmark = [pytest.mark.machine, pytest.mark.timeout(240)]

Serve = Callable[..., Serving]


def count_of_molecules(serving: Serving) -> int:
    return int(serving.get("/api/v1/molecules?limit=1&count=exact").json()["page"]["count"])


def draw_something(serving: Serving) -> None:
    """Make a worker use its chemistry processes."""
    (molecule,) = serving.get("/api/v1/molecules?kind=molecule&limit=1").json()["data"]
    assert serving.get(f"/api/v1/molecules/{molecule['id']}/structure.svg").status_code == 200


def connection_to(serving: Serving) -> socket.socket:
    address = urlsplit(serving.url())
    return socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S)


def answer_to(serving: Serving, request: bytes) -> bytes:
    with connection_to(serving) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_first_start_in_an_empty_folder_serves_real_molecules_and_leaves_nothing_behind(serve: Serve):
    serving = serve()

    assert serving.get("/health/ready").json()["database"] == "ok"
    assert count_of_molecules(serving) >= 52
    assert len(serving.processes()) > 3

    assert serving.stop(signal.SIGINT) == 0
    assert serving.processes() == []
    assert "Traceback" not in serving.said


def test_a_second_start_finds_everything_done(serve: Serve, made_folder: Path):
    serving = serve(made_folder)

    assert count_of_molecules(serving) == SEEDED
    assert "Making a PostgreSQL" not in serving.said
    assert "seeded" not in serving.said


def test_what_it_prints_says_how_to_get_a_token_that_the_service_accepts(served: Serving):
    (command,) = re.findall(r"a token +(.*)", served.said)
    # Started by its module here, and by its name in a shell.
    command = re.sub(r"\S*app/cli/main.py", f"{sys.executable} -m app.cli.main", command)
    token = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    me = requests.get(f"{served.url()}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)

    assert me.json()["role"] == "service_role"


def test_the_signing_secret_is_long_and_its_owner_s_alone(made_folder: Path):
    secret = made_folder / "jwt_secret"

    assert len(secret.read_text().strip()) >= 43
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_is_no_failure(serve: Serve, made_folder: Path, number: signal.Signals):
    serving = serve(made_folder)
    draw_something(serving)
    family = serving.processes()

    assert serving.stop(number) == 0

    assert [process for process in family if process.is_running()] == []
    assert serving.processes() == []
    assert "Traceback" not in serving.said


def test_ctrl_c_during_the_start_leaves_nothing_behind(serve: Serve):
    serving = serve()
    while "PostgreSQL" not in serving.said:
        time.sleep(0.02)

    assert serving.stop(signal.SIGINT) == 0
    assert serving.processes() == []


def test_killing_serve_takes_the_web_server_along_and_the_next_start_works(serve: Serve, made_folder: Path):
    first = serve(made_folder)
    port = str(urlsplit(first.url()).port)
    draw_something(first)
    web_server = [process for process in first.processes() if "postgres" not in process.name()]
    assert len(web_server) > 4, "serve, gunicorn, its two workers and a chemistry process"
    first.process.kill()

    second = serve(made_folder, PORT=port)

    assert second.get("/health/ready").status_code == 200
    first.wait_until_gone(web_server)
    assert second.stop() == 0
    assert second.processes() == []


def test_a_start_after_everything_was_killed_at_once_works(serve: Serve, made_folder: Path):
    first = serve(made_folder)
    port = str(urlsplit(first.url()).port)
    for process in first.processes():
        # Some end by themselves as soon as another is gone.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    first.process.wait()

    second = serve(made_folder, PORT=port)

    assert second.get("/health/ready").status_code == 200
    assert count_of_molecules(second) == SEEDED


def test_it_stops_when_the_make_that_started_it_is_killed(serve: Serve, made_folder: Path):
    # `sh` in the place of make: it runs the command as a child and waits.
    serving = serve(made_folder, before=["sh", "-c", '"$@"; true', "sh"], options=["--with-parent"])
    serving.url()
    family = serving.processes()

    serving.process.kill()

    serving.wait_until_gone([process for process in family if process.pid != serving.process.pid])


def test_a_taken_port_is_refused_with_its_holder_before_anything_is_made(serve: Serve, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]

        serving = serve(PORT=str(port))

        assert serving.process.wait(timeout=TIMEOUT_S) == 1
    assert f"port {port} is in use by process {os.getpid()}" in serving.said
    assert f"PORT={port + 1} make serve" in serving.said
    assert "Traceback" not in serving.said
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_let_go_in_time_is_taken(serve: Serve, made_folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        serving = serve(made_folder, PORT=str(holder.getsockname()[1]))
        while "waiting" not in serving.said:
            time.sleep(0.02)

    assert serving.get("/health/live").status_code == 200


def test_two_services_share_one_folder_and_the_last_one_out_stops_the_database(serve: Serve, made_folder: Path):
    first, second = serve(made_folder), serve(made_folder)
    first.url()
    second.url()

    assert first.stop() == 0

    assert count_of_molecules(second) == SEEDED
    assert second.stop() == 0
    assert second.processes() == []


@pytest.mark.parametrize(
    ("settings", "sentence", "status"),
    [
        ({"PORT": "http"}, "PORT must be a number", 2),
        ({"HOST": "192.0.2.7"}, "HOST=192.0.2.7 is no address of this machine", 1),
        ({"DATABASE_URL": "mysql://localhost/x"}, "DATABASE_URL must start with postgresql://", 2),
        ({"DATABASE_URL": "postgresql://cpa:s3cr3t@127.0.0.1:9/x"}, "cannot be reached", 1),
        ({"DATABASE_URL": "postgresql://cpa:s3cr3t@localhost/x?host=/nowhere"}, "cannot be reached", 1),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_without_secrets(
    serve: Serve, settings: dict[str, str], sentence: str, status: int
):
    serving = serve(**settings)

    assert serving.process.wait(timeout=TIMEOUT_S) == status
    assert sentence in serving.said
    assert "s3cr3t" not in serving.said
    assert "Traceback" not in serving.said


def test_a_request_in_flight_is_answered_before_the_service_stops(serve: Serve, made_folder: Path):
    serving = serve(made_folder)
    body = b'{"ids": []}'
    head = (
        "POST /api/v1/molecules/lookup HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connection_to(serving) as client:
        client.sendall(head.encode() + body[:5])
        time.sleep(0.5)
        serving.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        client.sendall(body[5:])
        answer = client.recv(65536)

    assert answer.startswith(b"HTTP/1.1 ")
    assert answer.split()[1] in {b"200", b"422"}
    assert serving.process.wait(timeout=TIMEOUT_S) == 0


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"NO SUCH LINE\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer " + b"a" * 65536 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(150)) + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", b"400"),
    ],
    ids=["no request line", "long line", "long header", "many headers", "two lengths"],
)
def test_a_request_that_cannot_be_parsed_is_a_problem_too(served: Serving, request_head: bytes, status: bytes):
    answer = answer_to(served, request_head)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b"content-type: application/problem+json" in head.lower()
    assert b'"request_id"' in body


def test_headers_that_only_a_proxy_may_set_change_nothing(served: Serving):
    headers = {"X-Forwarded-Proto": "https", "SCRIPT_NAME": "/health", "X-Forwarded-Host": "evil.example"}

    page = requests.get(f"{served.url()}/api/v1/molecules?limit=1", headers=headers, timeout=TIMEOUT_S)

    assert page.status_code == 200
    assert "https://" not in page.headers["Link"]
    assert "evil.example" not in page.headers["Link"]


def test_a_worker_that_is_killed_is_replaced(serve: Serve, made_folder: Path):
    serving = serve(made_folder)
    serving.url()
    (master,) = [child for child in psutil.Process(serving.process.pid).children() if "gunicorn" in child.cmdline()]
    workers = master.children()
    for worker in workers:
        worker.kill()
    serving.wait_until_gone(workers)

    assert serving.get("/health/ready").status_code == 200


def test_the_workers_run_what_is_due_once_and_the_metrics_say_so(serve: Serve, made_folder: Path):
    serving = serve(made_folder, MAINTENANCE_INTERVAL_S="0.2")
    deadline = time.monotonic() + TIMEOUT_S
    ran = 'cryoprotect_maintenance_since_run_seconds{task="idempotency_keys"}'

    while ran not in (said := serving.get("/metrics").text) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)

    assert ran in said
    assert "cryoprotect_database_at_head 1.0" in said
    assert serving.stop() == 0
    assert serving.said.count('"task": "idempotency_keys"') == 1
    assert "put off" not in serving.said
    assert "Traceback" not in serving.said


def test_every_libpq_variable_of_the_caller_is_kept_from_the_embedded_database(serve: Serve, made_folder: Path):
    serving = serve(made_folder, PGPORT="6000", PGHOST="/nowhere", PGOPTIONS="-c search_path=nowhere", PGDATABASE="no")

    assert count_of_molecules(serving) == SEEDED


def test_the_url_of_the_running_database_is_printed_and_nothing_else(served: Serving):
    command = [sys.executable, "-m", "app.cli.main", "db", "url", "--role", "admin"]
    environment = {**os.environ, "CRYOPROTECT_DATA_DIR": str(served.folder)}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert re.fullmatch(r"postgresql://postgres@localhost/cryoprotect\?host=/\S+\n", done.stdout)


def test_any_postgres_15_will_do_and_its_password_is_not_printed(serve: Serve, postgres_15: str):
    first = serve(DATABASE_URL=postgres_15)
    assert count_of_molecules(first) == SEEDED
    assert first.stop() == 0

    second = serve(DATABASE_URL=postgres_15)

    assert count_of_molecules(second) == SEEDED
    assert "PostgreSQL 15" in second.said
    assert PASSWORD not in first.said + second.said
    assert not (second.folder / "postgres").exists()
