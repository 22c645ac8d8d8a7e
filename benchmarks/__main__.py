"""One run: database, servers, interleaved rounds, report (`cryoprotect bench`, or `python -m benchmarks`)."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import click
import psycopg
from rich.console import Console

from app.errors import CryoProtectError
from app.services.minting import issue_token
from app.services.tokens import TokenVerifier
from benchmarks import dataset, imports_report, report, security_report, toxicity
from benchmarks.contestants import ROOT, Arena, Contestant, HttpServer, enter_all
from benchmarks.dataset import DataError
from benchmarks.imports import FULL_PLAN, QUICK_PLAN, ImportPlan, ImportsReport, measure_imports
from benchmarks.load import LoadError
from benchmarks.pgbench import PgbenchError
from benchmarks.probes import measure_deep_page, measure_stream
from benchmarks.processes import PROC, StartError
from benchmarks.report import Report, console_for_output
from benchmarks.scenarios import FURTHER, TARGETED, Scenario
from benchmarks.security import SecurityReport, measure_security
from benchmarks.security_data import SIZES
from benchmarks.targets import Cell
from benchmarks.toxicity import ToxicityReport, measure_toxicity
from database import migrate
from database.embedded import EmbeddedServer
from database.urls import database_urls

FOLDER: Final = ROOT / ".cryoprotect-bench"
TOKEN_TTL_S: Final = 3600
WRONG_USE: Final = 2
VERSION_SQL: Final = "SHOW server_version"
RUN_ERRORS: Final = (CryoProtectError, DataError, LoadError, PgbenchError, StartError)


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, how long, and what."""

    rounds: int
    seconds: int
    deep_seconds: int
    scenarios: tuple[Scenario, ...]
    sizes: tuple[int, ...]
    """Numbers of molecules at which row-level security is priced."""
    security_rounds: int
    imports: ImportPlan


FULL: Final = Plan(
    rounds=3,
    seconds=3,
    deep_seconds=2,
    scenarios=(*TARGETED, *FURTHER),
    sizes=SIZES,
    security_rounds=40,
    imports=FULL_PLAN,
)
QUICK: Final = Plan(
    rounds=2, seconds=1, deep_seconds=1, scenarios=TARGETED, sizes=SIZES[:2], security_rounds=15, imports=QUICK_PLAN
)
SERVICE: Final = "service"
SECURITY: Final = "security"
TOXICITY: Final = "toxicity"
IMPORTS: Final = "imports"
SECTIONS: Final = (SERVICE, SECURITY, TOXICITY)
"""What is measured where nothing else is said; imports take half an hour and are asked for."""


@click.command(name="bench")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--quick", is_flag=True, help="Only what has a target, fewer and shorter rounds: two minutes instead of eight."
)
@click.option("--only", type=click.Choice((*SECTIONS, IMPORTS)), help="Measure one section.")
def main(*, as_json: bool, quick: bool, only: str | None) -> None:
    """Measure the service, its peers and the limit side by side, and the price of row-level security."""
    notes = Console(stderr=True, highlight=False)
    signal.signal(signal.SIGTERM, _stop)
    if not PROC.joinpath("self", "status").is_file():
        _give_up("the benchmark reads /proc and runs on Linux only")
    try:
        results = run(
            QUICK if quick else FULL, [only] if only else SECTIONS, lambda text: notes.print(text, style="dim")
        )
    except RUN_ERRORS as error:
        _give_up(str(error))
    if as_json:
        click.echo(json.dumps(_document(results), indent=2))
    else:
        _print(results, console_for_output())


@dataclass(frozen=True, slots=True)
class Results:
    """What a run found, by section; None for one that was left out."""

    service: Report | None = None
    security: SecurityReport | None = None
    imports: ImportsReport | None = None
    toxicity: ToxicityReport | None = None


def run(plan: Plan, sections: Sequence[str], say: Callable[[str], None]) -> Results:
    """Return the figures of one run; everything that it starts has ended when it returns.

    Raises:
        DataError: The real structures are not there.
        StartError: A server did not start.
        LoadError: A contestant failed while it was measured, or does not give the service's answers.
    """
    load_before = os.getloadavg()[0]
    if sections == [IMPORTS]:
        with _alone(FOLDER):
            return Results(imports=measure_imports(_shared(), plan.imports, say))
    with ExitStack() as stack:
        arena = _enter_arena(stack, say, has_structures=sections != [TOXICITY])
        return Results(
            service=_run_service(arena, plan, load_before, say) if SERVICE in sections else None,
            security=measure_security(arena.admin_url, arena.secret, plan.sizes, plan.security_rounds, say)
            if SECURITY in sections
            else None,
            toxicity=measure_toxicity(arena, plan.rounds, plan.seconds, say) if TOXICITY in sections else None,
        )


def _run_service(arena: Arena, plan: Plan, load_before: float, say: Callable[[str], None]) -> Report:
    with ExitStack() as stack:
        contestants = enter_all(stack, arena, say)
        servers = [one for one in contestants if isinstance(one, HttpServer)]
        check_same_answers(servers, plan.scenarios)
        cells = [
            measure(contestants, scenario, clients, plan, say)
            for scenario in plan.scenarios
            for clients in scenario.clients
        ]
        say("a page far down, and a stream of everything")
        return Report(
            server_version=_server_version(arena.admin_url),
            rounds=plan.rounds,
            seconds=plan.seconds,
            load_before=load_before,
            cells=cells,
            deep=measure_deep_page(servers[0], plan.rounds, plan.deep_seconds),
            stream=measure_stream(servers[0]),
        )


def _document(results: Results) -> dict[str, object]:
    document = {} if results.service is None else report.to_json(results.service)
    if results.security is not None:
        document |= {"security": security_report.to_json(results.security)}
    if results.toxicity is not None:
        document |= {"toxicity": toxicity.to_json(results.toxicity)}
    if results.imports is not None:
        document |= {"imports": imports_report.to_json(results.imports)}
    return document


def _print(results: Results, console: Console) -> None:
    if results.service is not None:
        report.print_tables(results.service, console)
    if results.security is not None:
        security_report.print_tables(results.security, console)
    if results.imports is not None:
        imports_report.print_tables(results.imports, console)
    if results.toxicity is not None:
        toxicity.print_tables(results.toxicity, console)


def measure(
    contestants: Sequence[Contestant], scenario: Scenario, clients: int, plan: Plan, say: Callable[[str], None]
) -> Cell:
    """Return everybody's rounds; each round begins with somebody else, so that nobody always goes first."""
    cell = Cell(scenario, clients, {one.name: [] for one in contestants})
    for number in range(plan.rounds):
        say(f"{cell.name}, round {number + 1} of {plan.rounds}")
        start = number % len(contestants)
        for one in [*contestants[start:], *contestants[:start]]:
            cell.rounds[one.name].append(one.measure(scenario, clients, plan.seconds))
    return cell


def check_same_answers(servers: Sequence[HttpServer], scenarios: Sequence[Scenario]) -> None:
    """Refuse to compare servers that do not give the same records.

    Raises:
        LoadError: Somebody's answer differs from the service's.
    """
    for scenario in scenarios:
        for path in scenario.paths[:10]:
            wanted, *others = [_records(server.get_json(path)) for server in servers]
            for server, records in zip(servers[1:], others, strict=True):
                if records != wanted:
                    msg = f"{server.name} does not give the service's answer to GET {path}"
                    raise LoadError(msg)


def _records(answer: dict[str, object]) -> object:
    return answer.get("data", answer)


def _enter_arena(stack: ExitStack, say: Callable[[str], None], *, has_structures: bool) -> Arena:
    shared = _shared()
    if has_structures:
        dataset.require_structures(shared)
    stack.enter_context(_alone(FOLDER))
    base_url = stack.enter_context(EmbeddedServer(FOLDER, log=say))
    secret = secrets.token_urlsafe(48)
    urls = database_urls(base_url, None, secret)
    migrate.upgrade(urls, secret=secret, log=say)
    if has_structures:
        began_s = time.monotonic()
        dataset.load(urls.admin, shared, say)
        say(f"{dataset.MOLECULES:,} molecules are ready after {time.monotonic() - began_s:.0f} s")
    token = issue_token(secret, role="authenticated", ttl_s=TOKEN_TTL_S, sub=dataset.CALLER)
    claims_json = TokenVerifier(secret, jwks=None, issuer=None).verify(token).claims_json
    return Arena(base_url, urls.request, secret, token, claims_json, FOLDER)


def _shared() -> Path:
    shared = Path(os.environ.get("CRYOPROTECT_SHARED") or ROOT.parent / "shared" / "data")
    dataset.require_structures(shared)
    return shared


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one benchmark run at a time: two would measure each other."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="ascii")
    with (folder / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = "another benchmark is running: two would measure each other"
            raise StartError(msg) from error
        yield


def _server_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        found = connection.execute(VERSION_SQL).fetchone()
    return str(found[0]).split()[0] if found else ""


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"bench: {sentence}", err=True)
    raise SystemExit(WRONG_USE)


def _stop(_number: int, _frame: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
