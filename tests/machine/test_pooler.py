"""The service behind PgBouncer in transaction mode, with the settings that docker-compose.yml uses."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from database.unprivileged import launcher_for
from tests.machine.conftest import PASSWORD, ROOT, TIMEOUT_S, Serving, free_port, wait_for

pytestmark = [pytest.mark.machine, pytest.mark.timeout(240)]

Serve = Callable[..., Serving]


@pytest.fixture
def pooled(postgres_15: str, tmp_path: Path) -> Iterator[str]:
    """Give the database's URL through the pooler."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed; .ci/run installs it")
    database, port = urlsplit(postgres_15), free_port()
    tmp_path.joinpath("userlist.txt").write_text(f'"postgres" "{PASSWORD}"\n')
    tmp_path.joinpath("pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host={database.hostname} port={database.port} auth_user=postgres

        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_file = {tmp_path / "userlist.txt"}
        %include {ROOT / "deploy" / "pgbouncer" / "settings.ini"}
        """.replace("\n        ", "\n")
    )
    before = launcher_for(tmp_path, Path(program)).prefix
    with (tmp_path / "pgbouncer.log").open("wb") as log:
        pooler = subprocess.Popen([*before, program, tmp_path / "pgbouncer.ini"], stdout=log, stderr=subprocess.STDOUT)
    wait_for(port)
    yield postgres_15.replace(f":{database.port}/", f":{port}/")
    pooler.send_signal(signal.SIGINT)
    pooler.wait(timeout=TIMEOUT_S)


def test_the_service_s_logins_pass_the_pooler_without_being_listed_in_it(serve: Serve, postgres_15: str, pooled: str):
    serving = serve(DATABASE_URL=pooled, DATABASE_DIRECT_URL=postgres_15, TRANSACTION_POOLER="on")

    page = serving.get("/api/v1/molecules?limit=10&order_by=name").json()

    assert [molecule["name"] for molecule in page["data"]] == sorted(
        (molecule["name"] for molecule in page["data"]), key=str.casefold
    )
    with psycopg.connect(postgres_15) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cryoprotect_request'"
        ).fetchone()
    assert row is not None
    assert row[0] > 0


def test_reads_through_the_pooler_are_right_when_they_share_few_connections(
    serve: Serve, postgres_15: str, pooled: str
):
    serving = serve(DATABASE_URL=pooled, DATABASE_DIRECT_URL=postgres_15, TRANSACTION_POOLER="on", RATE_LIMITS="off")
    with requests.Session() as client:
        first = client.get(f"{serving.url()}/api/v1/molecules?limit=1", timeout=TIMEOUT_S).json()["data"][0]
        address = f"{serving.url()}/api/v1/molecules/{first['id']}"

        answers = {client.get(address, timeout=TIMEOUT_S).text for _ in range(50)}

    assert len(answers) == 1
