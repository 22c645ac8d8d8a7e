"""The service, its peers and the limit, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import psycopg

from benchmarks.contestants import Contestant, HttpServer, enter_all
from benchmarks.load import LoadError
from benchmarks.probes import measure_deep_page, measure_stream
from benchmarks.report import Report
from benchmarks.run import Run
from benchmarks.scenarios import FURTHER, TARGETED, Scenario
from benchmarks.targets import Cell

VERSION_SQL: Final = "SHOW server_version"


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, how long, and what."""

    rounds: int
    seconds: int
    deep_seconds: int
    scenarios: tuple[Scenario, ...]


FULL: Final = Plan(rounds=3, seconds=3, deep_seconds=2, scenarios=(*TARGETED, *FURTHER))
QUICK: Final = Plan(rounds=2, seconds=1, deep_seconds=1, scenarios=TARGETED)


def measure_service(run: Run) -> Report:
    """Return the figures of all contestants.

    Raises:
        LoadError: A contestant failed while it was measured, or does not give the service's answers.
    """
    plan, arena = QUICK if run.quick else FULL, run.arena(with_molecules=True)
    with ExitStack() as stack:
        contestants = enter_all(stack, arena, run.say)
        servers = [one for one in contestants if isinstance(one, HttpServer)]
        check_same_answers(servers, plan.scenarios)
        cells = [
            measure(contestants, scenario, clients, plan, run)
            for scenario in plan.scenarios
            for clients in scenario.clients
        ]
        run.say("a page far down, and a stream of everything")
        return Report(
            server_version=_server_version(arena.admin_url),
            rounds=plan.rounds,
            seconds=plan.seconds,
            load_before=run.load_before,
            cells=cells,
            deep=measure_deep_page(servers[0], plan.rounds, plan.deep_seconds),
            stream=measure_stream(servers[0]),
        )


def measure(contestants: Sequence[Contestant], scenario: Scenario, clients: int, plan: Plan, run: Run) -> Cell:
    """Return everybody's rounds; each round begins with somebody else, so that nobody always goes first."""
    cell = Cell(scenario, clients, {one.name: [] for one in contestants})
    for number in range(plan.rounds):
        run.say(f"{cell.name}, round {number + 1} of {plan.rounds}")
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


def _server_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        found = connection.execute(VERSION_SQL).fetchone()
    return str(found[0]).split()[0] if found else ""
