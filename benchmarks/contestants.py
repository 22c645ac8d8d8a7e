"""Who is measured: the service, a strong peer in two variants, the naive way, and pgbench in two manners.

All HTTP servers run with the same number of workers on the same database, as the same login role, and
stay up for the whole run; the one that is measured is the only one that has work.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import pgbench
from benchmarks.load import LoadError, drive, share_out
from benchmarks.peers.settings import POOL_VARIABLE, REMEMBERS_VARIABLE, SECRET_VARIABLE, URL_VARIABLE
from benchmarks.processes import START_TIMEOUT_S, free_port, processor_s, running, start_failure, workers
from benchmarks.scenarios import Scenario
from benchmarks.stats import MS_PER_S, Round, summarize

ROOT: Final = Path(__file__).resolve().parent.parent
PEERS: Final = "benchmarks.peers"
WORKERS: Final = 2
POOL_SIZE: Final = 10
"""Connections of each worker."""
SERVICE: Final = "service"
PEER: Final = "fastapi"
PEER_REMEMBERING: Final = "fastapi, tokens kept"
NAIVE: Final = "naive"
PGBENCH: Final = "pgbench"
PGBENCH_PIPELINED: Final = "pgbench pipelined"


@dataclass(frozen=True, slots=True)
class Arena:
    """What every contestant needs: the database, the secret that signs, a token, a place for logs."""

    admin_url: str
    request_url: str
    secret: str
    token: str
    claims_json: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the environment of a server, without settings that the caller's shell may hold."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that runs, and how to measure it."""

    name: str
    port: int
    pid: int
    token: str
    keeps_connections: bool

    @property
    def worker_pids(self) -> list[int]:
        """The processes that answer."""
        return workers(self.pid, self.port)

    def measure(self, scenario: Scenario, clients: int, seconds: int) -> Round:
        """Return the figures of one round."""
        return self.ask(scenario.paths, clients, seconds)

    def ask(self, paths: Sequence[str], clients: int, seconds: int) -> Round:
        """Return the figures for asking for these paths in turn."""
        pids = self.worker_pids
        before_s = processor_s(pids)
        load = drive(
            self.port,
            [self.request(path) for path in paths],
            clients=clients,
            seconds=seconds,
            worker_pids=pids if self.keeps_connections else (),
        )
        return replace(
            summarize(load.latencies_s, load.seconds),
            processor_ms=(processor_s(pids) - before_s) * MS_PER_S / load.answers,
            generator_cores=load.generator_cpu_s / load.seconds,
        )

    def request(self, path: str) -> bytes:
        """Return a whole request."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {self.token}"]
        return "\r\n".join([*lines, "Accept: application/json", "", ""]).encode()

    def get_json(self, path: str) -> Any:  # noqa: ANN401 (JSON is what it is)
        """Return one answer, decoded.

        Raises:
            LoadError: It is not 200.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            msg = f"{self.name} answered {answer.status} to GET {path}: {body[:300].decode(errors='replace')}"
            raise LoadError(msg)
        return json.loads(body)


@dataclass(frozen=True, slots=True)
class Pgbench:
    """pgbench, sending a scenario's own statements in one of two manners."""

    name: str
    binary: Path
    url: str
    claims_json: str
    pipelined: bool

    def measure(self, scenario: Scenario, clients: int, seconds: int) -> Round:
        """Return the figures of one round, half as long: it neither warms up nor varies much."""
        script = scenario.script(self.claims_json, pipelined=self.pipelined)
        return pgbench.run(self.binary, self.url, script, clients=clients, seconds=max(1, seconds // 2))


Contestant = HttpServer | Pgbench


def enter_all(stack: ExitStack, arena: Arena, say: Callable[[str], None]) -> list[Contestant]:
    """Start all servers, to be stopped with the stack, and return everybody in order.

    Raises:
        StartError: A server does not start.
    """
    contestants: list[Contestant] = [
        enter_service(stack, arena),
        _enter(stack, arena, PEER, _peer_command, _peer_environment(arena)),
        _enter(stack, arena, PEER_REMEMBERING, _peer_command, _peer_environment(arena) | {REMEMBERS_VARIABLE: "on"}),
        _enter(stack, arena, NAIVE, _naive_command, _peer_environment(arena), keeps_connections=False),
    ]
    binary = pgbench.find_pgbench()
    if binary is None:
        say("no pgbench on this machine: the limit is not measured")
        return contestants
    return [
        *contestants,
        Pgbench(PGBENCH, binary, arena.request_url, arena.claims_json, pipelined=False),
        Pgbench(PGBENCH_PIPELINED, binary, arena.request_url, arena.claims_json, pipelined=True),
    ]


def enter_service(stack: ExitStack, arena: Arena, settings: Mapping[str, str] | None = None) -> HttpServer:
    """Start the service, with settings of its own if need be, to be stopped with the stack.

    Raises:
        StartError: It does not start.
    """
    return _enter(stack, arena, SERVICE, _service_command, _service_environment(arena) | dict(settings or {}))


def _enter(  # noqa: PLR0913 (one line per server above)
    stack: ExitStack,
    arena: Arena,
    name: str,
    command: Callable[[int], Sequence[str]],
    env: dict[str, str],
    *,
    keeps_connections: bool = True,
) -> HttpServer:
    port = free_port()
    log = arena.folder / f"{name}.log"
    process = stack.enter_context(running(name, command(port), env | {"PORT": str(port)}, port, log))
    server = HttpServer(name, port, process.pid, arena.token, keeps_connections)
    if not _all_workers_answer(server, process):
        raise start_failure(name, log)
    return server


def _all_workers_answer(server: HttpServer, process: subprocess.Popen[bytes]) -> bool:
    """Wait until every worker has taken a connection: the socket is open before they are ready."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        time.sleep(0.1)
        pids = server.worker_pids
        if len(pids) < WORKERS:
            continue
        if not server.keeps_connections:
            return True
        with suppress(LoadError, OSError):
            for connection in share_out(server.port, pids, WORKERS):
                connection.close()
            return True
    return False


def _service_command(_port: int) -> Sequence[str]:
    return [*_module("gunicorn"), "--config", str(ROOT / "deploy" / "gunicorn.conf.py"), "wsgi:app"]


def _peer_command(port: int) -> Sequence[str]:
    options = ["--port", str(port), "--workers", str(WORKERS), "--loop", "uvloop", "--http", "httptools"]
    return [*_module("uvicorn"), f"{PEERS}.fastapi_peer:app", *options, "--no-access-log", "--log-level=warning"]


def _naive_command(port: int) -> Sequence[str]:
    options = ["--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS), "--log-level=warning"]
    return [*_module("gunicorn"), *options, f"{PEERS}.naive_peer:app"]


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _service_environment(arena: Arena) -> dict[str, str]:
    return arena.environment() | {
        "CRYOPROTECT_DATA_DIR": str(arena.folder),
        "DATABASE_URL": arena.admin_url,
        "SUPABASE_JWT_SECRET": arena.secret,
        "WEB_CONCURRENCY": str(WORKERS),
        "POOL_MIN": str(POOL_SIZE),
        "POOL_MAX": str(POOL_SIZE),
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }


def _peer_environment(arena: Arena) -> dict[str, str]:
    return arena.environment() | {
        URL_VARIABLE: arena.request_url,
        SECRET_VARIABLE: arena.secret,
        POOL_VARIABLE: str(POOL_SIZE),
    }
