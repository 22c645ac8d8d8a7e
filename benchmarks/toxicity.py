"""What toxicity costs: a profile beside a query for each result, and the ranking beside one that keeps nothing.

A database of its own holds 8,000 molecules with calls in 12 assays, and one more molecule that was tested in 1,400
further ones. Scores are computed by the triggers, as for everybody.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql
from rich.console import Console

from app.domain.callers import Caller
from benchmarks import dataset
from benchmarks.contestants import PGBENCH, SERVICE, Arena, HttpServer, Pgbench, enter_service
from benchmarks.load import LoadError
from benchmarks.pgbench import Script, find_pgbench
from benchmarks.report import table_for, target_table
from benchmarks.scenarios import Scenario
from benchmarks.security import median_ratio
from benchmarks.security_data import named
from benchmarks.statements import script_of
from benchmarks.stats import MS_PER_S, Round, median_round, ratio
from benchmarks.targets import Verdict
from database import migrate
from database.listing import ListRequest, compose_page
from database.repositories.toxicity_scores import RANKING, ScoreReader
from database.session import Database
from database.urls import database_urls

MOLECULES: Final = 8000
ASSAYS: Final = 12
ANNOTATIONS: Final = 1400
DATABASE: Final = "bench_toxicity"
CLIENTS: Final = 1
"""So that a ratio is one of times, whatever else the machine does."""
LEAST_GAIN: Final = 10.0
MOST_COST: Final = 2.0
BARE: Final = "pgbench, from the results"
LARGEST_PAGE: Final = 1000
SERVICE_LARGEST: Final = f"{SERVICE}, {LARGEST_PAGE:,} a page"
PGBENCH_LARGEST: Final = f"{PGBENCH}, {LARGEST_PAGE:,} a page"
LIMITS: Final = ((SERVICE, PGBENCH), (SERVICE, BARE), (SERVICE_LARGEST, PGBENCH_LARGEST))
"""What is measured beside what. Of a small page, what any answer over HTTP takes is the greater part."""
RANKING_PATH: Final = "/api/v1/toxicity/ranking"
_TESTED: Final = UUID(int=0x0196_0000_0000_7000_8000_0000_0000_0000)

FILL_SQL: Final = """
WITH endpoints AS (
    INSERT INTO public.toxicity_endpoints (name, description)
    SELECT 'endpoint_' || n, 'benchmark' FROM generate_series(1, 20) AS n
    RETURNING id, name
), assays AS (
    INSERT INTO public.toxicity_assays (source, name, cell_type)
    SELECT 'bench', 'assay ' || n, 'cell ' || n %% 5 FROM generate_series(1, %(assays)s) AS n
    RETURNING id, name
)
INSERT INTO public.assay_endpoints (assay_id, endpoint_id)
SELECT a.id, e.id
FROM assays AS a
JOIN endpoints AS e ON e.name = 'endpoint_' || (1 + split_part(a.name, ' ', 2)::int %% 20)
"""
ADD_MOLECULES_SQL: Final = """
INSERT INTO public.molecules (
    id, name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public
)
SELECT
    CASE n WHEN 0 THEN %(tested)s ELSE private.uuid_v7() END, 'molecule ' || n, 'C', 'InChI=1S/' || n, k.key, k.key,
    'CH4', 16.04, true
FROM generate_series(0, %(molecules)s) AS n
CROSS JOIN LATERAL (
    SELECT translate(lpad(n::text, 14, '0'), '0123456789', 'ABCDEFGHIJ') || '-UHFFFAOYSA-N' AS key
) AS k
"""
ADD_RESULTS_SQL: Final = """
INSERT INTO public.toxicity_results (
    molecule_id, assay_id, endpoint_id, hit_call, potency_type, potency, potency_unit, source_record
)
SELECT m.id, l.assay_id, l.endpoint_id, c.hit_call, c.type, c.potency, c.unit, 'bench'
FROM public.molecules AS m
JOIN public.assay_endpoints AS l ON true
JOIN public.toxicity_assays AS a ON a.id = l.assay_id
CROSS JOIN LATERAL (SELECT hashtext(m.name || a.name) AS hash) AS h
CROSS JOIN LATERAL (
    SELECT 'active' AS hit_call, 'AC50' AS type, 1 + abs(h.hash %% 1000) / 10.0 AS potency, 'uM' AS unit
    WHERE h.hash %% 10 = 0
    UNION ALL
    SELECT 'inactive', NULL, NULL, NULL WHERE h.hash %% 10 <> 0
) AS c
WHERE m.id = %(tested)s OR split_part(a.name, ' ', 2)::int <= %(assays)s
"""
VACUUM_SQL: Final = "VACUUM (ANALYZE)"
COUNT_SQL: Final = "SELECT count(*) FROM public.toxicity_scores"
# The first page of the ranking without anything kept: what every answer would cost at least.
BARE_RANKING_SQL: Final = """
SELECT row_to_json(d)
FROM (
    SELECT m.id AS molecule_id, m.name, c.score, c.active, c.inactive
    FROM (
        SELECT x.molecule_id, count(*) FILTER (WHERE x.hit_call = 'active') AS active,
            count(*) FILTER (WHERE x.hit_call = 'inactive') AS inactive,
            (count(*) FILTER (WHERE x.hit_call = 'active'))::float8
                / nullif(count(*) FILTER (WHERE x.hit_call <> 'inconclusive'), 0) AS score
        FROM public.toxicity_calls AS x
        GROUP BY x.molecule_id
    ) AS c
    JOIN public.molecules AS m ON m.id = c.molecule_id
    ORDER BY c.score DESC, m.id DESC
    LIMIT 51
) AS d
"""
ASSAYS_OF_SQL: Final = "SELECT r.assay_id FROM public.toxicity_results AS r WHERE r.molecule_id = %(id)s"
RESULT_OF_SQL: Final = """
SELECT a.name, e.name, r.hit_call, r.potency
FROM public.toxicity_results AS r
JOIN public.toxicity_assays AS a ON a.id = r.assay_id
JOIN public.toxicity_endpoints AS e ON e.id = r.endpoint_id
WHERE r.molecule_id = %(id)s AND r.assay_id = %(assay_id)s
"""


@dataclass(frozen=True, slots=True)
class ToxicityReport:
    """What was found, and whether it reaches the targets."""

    rounds: int
    profile_ms: float
    row_by_row_ms: float
    ranking: dict[str, Round]
    """The median round of the service, of pgbench with its statement, and of pgbench with one that keeps nothing; of
    the first two with the largest page, too."""
    verdicts: Sequence[Verdict]


def measure_toxicity(arena: Arena, rounds: int, seconds: int, say: Callable[[str], None]) -> ToxicityReport:
    """Return the figures of one run.

    Raises:
        LoadError: The two ways do not see the same results, or the service does not answer.
        StartError: The service does not start.
    """
    admin_url = _prepare(arena, say)
    own = replace(arena, admin_url=admin_url, request_url=database_urls(admin_url, None, arena.secret).request)
    profiles = _measure_profile(own, rounds, say)
    ranking = _measure_ranking(own, rounds, seconds, say)
    gain = median_ratio([row_by_row for _, row_by_row in profiles], [one for one, _ in profiles])
    verdicts = [
        Verdict(
            f"profile of {ASSAYS + ANNOTATIONS:,} results beside a query for each",
            f">= {LEAST_GAIN:g}",
            gain,
            "x",
            gain >= LEAST_GAIN,
        )
    ]
    for name, limit in LIMITS:
        if limit in ranking:
            cost = ratio(ranking[limit], ranking[name])
            what = f"ranking of {MOLECULES:,} molecules x {ASSAYS} assays beside {limit}"
            verdicts.append(Verdict(what, f"< {MOST_COST:g}", cost, "x", cost < MOST_COST))
    return ToxicityReport(
        rounds,
        statistics.median(one for one, _ in profiles),
        statistics.median(row_by_row for _, row_by_row in profiles),
        {name: median_round(found) for name, found in ranking.items()},
        verdicts,
    )


def to_json(report: ToxicityReport) -> dict[str, object]:
    """Return the report as what a JSON document holds."""
    return {
        "rounds": report.rounds,
        "profile_ms": round(report.profile_ms, 3),
        "row_by_row_ms": round(report.row_by_row_ms, 3),
        "ranking_per_second": {name: round(found.per_second, 3) for name, found in report.ranking.items()},
        "targets": [asdict(one) for one in report.verdicts],
    }


def print_tables(report: ToxicityReport, console: Console) -> None:
    """Print the report for a person; targets that were missed are marked."""
    console.print(
        f"Toxicity: a profile of {ASSAYS + ANNOTATIONS:,} results takes {report.profile_ms:.1f} ms in one statement, "
        f"{report.row_by_row_ms:.1f} ms with a query for each."
    )
    table = table_for(console, f"ranking, {CLIENTS} client", "a second", "ms each")
    for name, found in report.ranking.items():
        table.add_row(name, f"{found.per_second:,.1f}", f"{MS_PER_S * CLIENTS / found.per_second:.2f}")
    console.print(table)
    console.print(target_table(report.verdicts, console))


def _prepare(arena: Arena, say: Callable[[str], None]) -> str:
    """Return the address of a database that holds the molecules, their results and their scores."""
    admin_url = named(arena.admin_url, DATABASE)
    with psycopg.connect(arena.admin_url, autocommit=True) as server:
        # Loaded anew each time: it takes half a minute, and then the triggers are today's.
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    migrate.upgrade(database_urls(admin_url, None, arena.secret), secret=arena.secret, log=say)
    began_s = time.monotonic()
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(FILL_SQL, {"assays": ASSAYS + ANNOTATIONS})
        connection.execute(ADD_MOLECULES_SQL, {"tested": _TESTED, "molecules": MOLECULES})
        connection.execute(ADD_RESULTS_SQL, {"tested": _TESTED, "assays": ASSAYS})
        connection.execute(VACUUM_SQL)
        found = connection.execute(COUNT_SQL).fetchone()
    say(f"{found[0] if found else 0:,} scores are ready after {time.monotonic() - began_s:.0f} s")
    return admin_url


def _measure_profile(arena: Arena, rounds: int, say: Callable[[str], None]) -> list[tuple[float, float]]:
    """Return for each round how long the profile takes, and how long a query for each result does, in ms."""
    say("a profile, and the same row by row")
    caller = Caller("authenticated", dataset.CALLER, claims_json=arena.claims_json)
    urls = database_urls(arena.admin_url, None, arena.secret)
    database = Database(urls, min_size=1, max_size=1, timeout_s=10.0, transaction_pooler=False)
    database.open()
    try:
        reader, session = ScoreReader(database.reading(caller)), database.reading(caller)
        figures = []
        for _ in range(rounds + 1):
            began_s = time.perf_counter()
            document = json.loads(reader.profile(_TESTED).json)
            between_s = time.perf_counter()
            assays = session.rows(ASSAYS_OF_SQL, {"id": _TESTED})
            results = [session.rows(RESULT_OF_SQL, {"id": _TESTED, "assay_id": row[0]}) for row in assays]
            ended_s = time.perf_counter()
            if sum(item["results"] for item in document["endpoints"]) != sum(map(len, results)):
                msg = "the profile does not tell of all results"
                raise LoadError(msg)
            figures.append(((between_s - began_s) * MS_PER_S, (ended_s - between_s) * MS_PER_S))
        # The first has prepared the statements.
        return figures[1:]
    finally:
        database.close()


def _measure_ranking(arena: Arena, rounds: int, seconds: int, say: Callable[[str], None]) -> dict[str, list[Round]]:
    kept = Scenario("toxicity ranking", [RANKING_PATH], _kept_script, clients=(CLIENTS,))
    largest = replace(kept, paths=[f"{RANKING_PATH}?limit={LARGEST_PAGE}"], script=_largest_script)
    bare = replace(kept, script=_bare_script)
    with ExitStack() as stack:
        service = enter_service(stack, arena)
        asked: list[tuple[str, HttpServer | Pgbench, Scenario]] = [
            (SERVICE, service, kept),
            (SERVICE_LARGEST, service, largest),
        ]
        if binary := find_pgbench():
            pgbench = Pgbench(PGBENCH, binary, arena.request_url, arena.claims_json, pipelined=False)
            asked += [(PGBENCH, pgbench, kept), (PGBENCH_LARGEST, pgbench, largest), (BARE, pgbench, bare)]
        else:
            say("no pgbench on this machine: the ranking's limit is not measured")
        found: dict[str, list[Round]] = {name: [] for name, _, _ in asked}
        for number in range(rounds):
            say(f"ranking, round {number + 1} of {rounds}")
            for name, one, scenario in asked[:: 1 if number % 2 else -1]:
                found[name].append(one.measure(scenario, CLIENTS, seconds))
        return found


def _kept_script(claims_json: str, *, pipelined: bool) -> Script:
    return _page_script(ListRequest(filters=RANKING.defaults), claims_json, pipelined=pipelined)


def _largest_script(claims_json: str, *, pipelined: bool) -> Script:
    request = ListRequest(filters=RANKING.defaults, limit=LARGEST_PAGE)
    return _page_script(request, claims_json, pipelined=pipelined)


def _page_script(request: ListRequest, claims_json: str, *, pipelined: bool) -> Script:
    plan = compose_page(RANKING, request)
    return script_of(plan.statement, plan.parameters, claims_json, pipelined=pipelined)


def _bare_script(claims_json: str, *, pipelined: bool) -> Script:
    return script_of(BARE_RANKING_SQL, {}, claims_json, pipelined=pipelined)
