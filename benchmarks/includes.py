"""Pages with related records: one statement beside one for each record.

A small database of its own is filled anew for each run: mixtures with components, predictions and experiments, some of
them hidden from the caller. Both ways use the service's own statements over one connection, each read a transaction in
one round trip as everywhere in the service, and have to find the same records. The second way asks as an object mapper
does that loads what hangs on a record when it is touched.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from rich.console import Console

from app.domain.callers import Caller
from benchmarks import dataset
from benchmarks.load import LoadError
from benchmarks.report import table_for, target_table
from benchmarks.security_data import TRIGGERS_OFF_SQL, named
from benchmarks.stats import MS_PER_S
from benchmarks.targets import Verdict
from database import migrate
from database.exchange import Row
from database.listing import MAX_INCLUDED, Detail, ListRequest, Scope, Shape
from database.repositories.base import ReadRepository
from database.repositories.experiments import EXPERIMENTS_OF_MIXTURE, ExperimentReader
from database.repositories.inclusions import INCLUSIONS
from database.repositories.mixtures import MIXTURES, MixtureReader
from database.repositories.predictions import PREDICTIONS_OF_MIXTURE, PredictionReader
from database.session import Database, ReadSession
from database.urls import DatabaseUrls, database_urls

DATABASE: Final = "includes"
PAGE: Final = 100
MIXTURES_STORED: Final = 2000
LEAST_GAIN: Final = 10.0
WARM_UP: Final = 3
CONNECT_TIMEOUT_S: Final = 10.0
CALLER: Final = Caller(
    role="authenticated",
    user_id=dataset.CALLER,
    claims_json=f'{{"role":"authenticated","sub":"{dataset.CALLER}"}}',
)

ADD_REFERENCES_SQL: Final = """
WITH people AS (
    INSERT INTO public.user_profiles (id) VALUES (%(caller)s), (%(other)s)
), types AS (
    INSERT INTO public.property_types (name, unit, value_kind, description)
    SELECT 'benchmark_' || n, '1', 'numeric', 'made up' FROM generate_series(0, 2) AS n
), methods AS (
    INSERT INTO public.calculation_methods (id, name, version, description)
    SELECT md5('method ' || n)::uuid, 'benchmark_' || n, '1', 'made up' FROM generate_series(0, 3) AS n
)
INSERT INTO public.molecules (id, name, kind, is_public)
SELECT md5('molecule ' || n)::uuid, 'molecule ' || n, 'polymer', true FROM generate_series(0, 199) AS n
"""
# One mixture in four is the caller's own, one in four is somebody else's; so are the experiments on public ones.
ADD_MIXTURES_SQL: Final = """
WITH mixture AS (
    INSERT INTO public.mixtures (id, name, is_public, created_by, acl)
    SELECT md5('mixture ' || n)::uuid, 'mixture ' || n, n %% 2 = 0, o.id, ARRAY[o.id]
    FROM generate_series(1, %(mixtures)s) AS n
    CROSS JOIN LATERAL (SELECT CASE n %% 4 WHEN 3 THEN %(other)s ELSE %(caller)s END::uuid AS id) AS o
    RETURNING id, is_public, acl, substr(name, 9)::int AS n
), component AS (
    INSERT INTO public.mixture_components (mixture_id, molecule_id, position, amount, unit, is_public, acl)
    SELECT x.id, md5('molecule ' || (x.n + k) %% 200)::uuid, k, 0.5 + k, 'mol/L', x.is_public, x.acl
    FROM mixture AS x CROSS JOIN generate_series(0, 2) AS k
), prediction AS (
    INSERT INTO public.predictions (
        mixture_id, property_type, method_id, value, unit, standard_uncertainty, in_domain, inputs_hash, is_public, acl
    )
    SELECT x.id, 'benchmark_' || k %% 3, md5('method ' || k / 3)::uuid, x.n / 7.0, '1', 0.1, true, repeat('0', 64),
        x.is_public, x.acl
    FROM mixture AS x CROSS JOIN generate_series(0, 11) AS k
), experiment AS (
    INSERT INTO public.experiments (id, name, mixture_id, outcome, is_public, created_by, acl)
    SELECT md5(x.n || ' experiment ' || k)::uuid, 'experiment ' || k, x.id, 'pass', x.is_public AND k < 4,
        o.id, ARRAY[o.id]
    FROM mixture AS x
    CROSS JOIN generate_series(0, 5) AS k
    CROSS JOIN LATERAL (SELECT CASE k WHEN 5 THEN %(other)s ELSE x.acl[1] END::uuid AS id) AS o
    RETURNING id, is_public, acl
)
INSERT INTO public.experiment_results (experiment_id, position, property_type, value, unit, is_public, acl)
SELECT e.id, k, 'benchmark_' || k, k / 3.0, '1', e.is_public, e.acl
FROM experiment AS e CROSS JOIN generate_series(0, 2) AS k
"""


@dataclass(slots=True)
class Counted:
    """A reading session that counts the statements it sends."""

    session: ReadSession
    statements: int = 0

    def rows(self, statement: str, parameters: Any) -> list[Row]:  # noqa: ANN401 (what a session takes)
        """Return the statement's rows."""
        return self.rows_of_each([(statement, parameters)])[0]

    def rows_of_each(self, statements: Sequence[tuple[str, Any]]) -> list[list[Row]]:
        """Return the rows of several statements."""
        self.statements += len(statements)
        return self.session.rows_of_each(statements)


Answer = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """A page with what hangs on its records, asked for in both ways."""

    name: str
    whole: Callable[[Any], Answer]
    by_record: Callable[[Any], Answer]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both ways took for one question: statements, and milliseconds by round."""

    question: str
    statements: tuple[int, int]
    whole_ms: list[float] = field(default_factory=list)
    by_record_ms: list[float] = field(default_factory=list)

    @property
    def gain(self) -> float:
        """How many times as long it takes to ask for each record, as the median over the rounds."""
        return statistics.median(many / one for one, many in zip(self.whole_ms, self.by_record_ms, strict=True))


def _page(reader: ReadRepository, shape: Shape, within: tuple[Scope, UUID] | None = None, limit: int = PAGE) -> Answer:
    return [orjson.loads(one) for one in reader.page(ListRequest(shape, limit=limit, within=within)).documents]


def _parts(reader: ReadRepository, record: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(reader.get(UUID(record["id"]), Shape(only=(name,))).json)
    return found


def _within(reader: ReadRepository, scope: Scope, record: dict[str, Any]) -> Answer:
    return _page(reader, Shape(Detail.MINIMAL), (scope, UUID(record["id"])), MAX_INCLUDED)


def _mixtures_whole(session: Any) -> Answer:  # noqa: ANN401 (a counted session)
    shape = Shape(Detail.MINIMAL, ("components",), inclusions=INCLUSIONS[MIXTURES])
    return _page(MixtureReader(session), shape)


def _mixtures_by_record(session: Any) -> Answer:  # noqa: ANN401
    mixtures, experiments, predictions = MixtureReader(session), ExperimentReader(session), PredictionReader(session)
    page = _page(mixtures, Shape(Detail.MINIMAL))
    for record in page:
        record.update(_parts(mixtures, record, "components"))
        predicted = _within(predictions, PREDICTIONS_OF_MIXTURE, record)
        tested = _within(experiments, EXPERIMENTS_OF_MIXTURE, record)
        record["predictions"] = {"data": predicted, "more": False}
        record["experiments"] = {
            "data": [one | _parts(experiments, one, "results") for one in tested],
            "more": False,
        }
    return page


def _experiments_whole(session: Any) -> Answer:  # noqa: ANN401
    return _page(ExperimentReader(session), Shape(Detail.MINIMAL, ("results",)))


def _experiments_by_record(session: Any) -> Answer:  # noqa: ANN401
    experiments = ExperimentReader(session)
    page = _page(experiments, Shape(Detail.MINIMAL))
    return [record | _parts(experiments, record, "results") for record in page]


QUESTIONS: Final = (
    Question("100 mixtures with components, predictions, experiments", _mixtures_whole, _mixtures_by_record),
    Question("100 experiments with results", _experiments_whole, _experiments_by_record),
)


def measure_includes(base_url: str, secret: str, rounds: int, say: Callable[[str], None]) -> list[Comparison]:
    """Return what both ways took.

    Raises:
        LoadError: They did not find the same.
    """
    say(f"loading {MIXTURES_STORED:,} mixtures with their predictions and experiments")
    database = Database(
        _prepare(base_url, secret), min_size=1, max_size=1, timeout_s=CONNECT_TIMEOUT_S, transaction_pooler=False
    )
    database.open()
    try:
        return [_compare(database.reading(CALLER), question, rounds, say) for question in QUESTIONS]
    finally:
        database.close()


def _prepare(base_url: str, secret: str) -> DatabaseUrls:
    urls = database_urls(named(base_url, DATABASE), None, secret)
    with psycopg.connect(base_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    migrate.upgrade(urls, secret=secret)
    keys = {"caller": dataset.CALLER, "other": dataset.OTHERS[0], "mixtures": MIXTURES_STORED}
    with psycopg.connect(urls.admin) as connection:
        connection.execute(TRIGGERS_OFF_SQL)
        connection.execute(ADD_REFERENCES_SQL, keys)
        connection.execute(ADD_MIXTURES_SQL, keys)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")
    return urls


def _compare(session: ReadSession, question: Question, rounds: int, say: Callable[[str], None]) -> Comparison:
    say(question.name)
    one, many = Counted(session), Counted(session)
    found = question.whole(one)
    if found != question.by_record(many) or len(found) != PAGE:
        msg = f"{question.name}: the two ways do not find the same"
        raise LoadError(msg)
    comparison = Comparison(question.name, (one.statements, many.statements))
    for number in range(WARM_UP + rounds):
        whole_ms, by_record_ms = (_took_ms(ask, session) for ask in (question.whole, question.by_record))
        if number >= WARM_UP:
            comparison.whole_ms.append(whole_ms)
            comparison.by_record_ms.append(by_record_ms)
    return comparison


def _took_ms(ask: Callable[[Any], Answer], session: ReadSession) -> float:
    began_s = time.perf_counter()
    ask(session)
    return (time.perf_counter() - began_s) * MS_PER_S


def verdicts(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Return the targets and whether they were reached."""
    found = []
    for one in comparisons:
        statements = one.statements[0]
        found.append(Verdict(f"{one.question}: statements", "= 1", statements, "", statements == 1))
        found.append(Verdict(f"{one.question}: gain", f">= {LEAST_GAIN:g}", one.gain, "x", one.gain >= LEAST_GAIN))
    return found


def print_tables(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print the comparisons for a person; targets that were missed are marked."""
    table = table_for(console, "", "statements", "one ms", "statements", "by record ms", "gain")
    for one in comparisons:
        whole, by_record = (f"{statistics.median(taken):.1f}" for taken in (one.whole_ms, one.by_record_ms))
        table.add_row(one.question, str(one.statements[0]), whole, str(one.statements[1]), by_record, f"{one.gain:.1f}")
    console.print(table)
    console.print(target_table(verdicts(comparisons), console))


def to_json(comparisons: Sequence[Comparison]) -> list[dict[str, object]]:
    """Return the comparisons as what a JSON document holds."""
    return [
        {
            "question": one.question,
            "statements": one.statements[0],
            "statements_by_record": one.statements[1],
            "median_ms": round(statistics.median(one.whole_ms), 3),
            "median_by_record_ms": round(statistics.median(one.by_record_ms), 3),
            "gain": round(one.gain, 3),
        }
        for one in comparisons
    ]
