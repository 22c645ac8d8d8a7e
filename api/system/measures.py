"""What one worker counts, and how it stands, under the names that a monitor knows them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from api.common.traffic import Traffic
from api.system.workers import Key, Numbers
from app.breaker import State
from database.measures import BOUNDS_S, Histogram
from database.pool import Pool
from database.session import Database

_LE: Final = [*map(str, BOUNDS_S), "+Inf"]
_Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_KINDS: Final[Mapping[str, Callable[..., _Metric]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


@dataclass(frozen=True, slots=True)
class Family:
    """A metric of the workers."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    documentation: str
    labels: tuple[str, ...]


_POOL: Final = ("pool",)
HTTP: Final = Family(
    "histogram",
    "cryoprotect_http_request_duration_seconds",
    "Time until an answer's head was ready.",
    ("route", "method", "status"),
)
STATEMENTS: Final = Family(
    "histogram",
    "cryoprotect_database_statement_duration_seconds",
    "Time until the answer to a statement, or to several sent together, was there.",
    ("pool", "statement"),
)
ACQUISITION: Final = Family(
    "histogram", "cryoprotect_pool_acquisition_seconds", "Time until a connection was had, or was not.", _POOL
)
USE: Final = Family("histogram", "cryoprotect_pool_use_seconds", "Time that a connection was held.", _POOL)
SATURATIONS: Final = Family(
    "counter", "cryoprotect_pool_saturations", "Connections wanted while all that may be were in use.", _POOL
)
TIMEOUTS: Final = Family(
    "counter", "cryoprotect_pool_timeouts", "Connections not had in time, or for too many waiting.", _POOL
)
LOSSES: Final = Family(
    "counter", "cryoprotect_pool_losses", "Connections found dead, silent, or read-only for a write.", _POOL
)
DRAINS: Final = Family("counter", "cryoprotect_pool_drains", "Times that all connections were replaced.", _POOL)
LEAKS: Final = Family("counter", "cryoprotect_pool_leaks", "Transactions open for too long.", _POOL)
IN_USE: Final = Family("gauge", "cryoprotect_pool_in_use", "Connections in use.", _POOL)
SIZE: Final = Family("gauge", "cryoprotect_pool_size", "Connections open.", _POOL)
MAX_SIZE: Final = Family("gauge", "cryoprotect_pool_max_size", "Connections that may be open.", _POOL)
WAITING: Final = Family("gauge", "cryoprotect_pool_waiting", "Requests that wait for a connection.", _POOL)
BREAKER: Final = Family(
    "gauge", "cryoprotect_breaker_state", "Workers whose breaker is in this state.", ("dependency", "state")
)
TRANSITIONS: Final = Family(
    "counter", "cryoprotect_breaker_transitions", "Times that a breaker took on this state.", ("dependency", "state")
)
REFUSALS: Final = Family(
    "counter", "cryoprotect_breaker_refusals", "Calls that an open breaker refused.", ("dependency",)
)
LAG: Final = Family(
    "gauge",
    "cryoprotect_replica_lag_seconds",
    "Since the moment whose state a replica is known to have, by the worker that knows least.",
    ("replica",),
)
WORKERS: Final = Family("gauge", "cryoprotect_workers", "Workers that these numbers are of.", ())
FAMILIES: Final = (
    HTTP,
    STATEMENTS,
    ACQUISITION,
    USE,
    SATURATIONS,
    TIMEOUTS,
    LOSSES,
    DRAINS,
    LEAKS,
    IN_USE,
    SIZE,
    MAX_SIZE,
    WAITING,
    BREAKER,
    TRANSITIONS,
    REFUSALS,
    LAG,
    WORKERS,
)
GREATEST: Final = frozenset({LAG.name})
"""What workers see of one and the same thing, which does not add up."""


def counted(traffic: Traffic, database: Database) -> Numbers:
    """Return what this worker has counted since it began."""
    numbers: dict[Key, list[float]] = {}
    for key, durations in list(traffic.durations.items()):
        numbers[HTTP.name, key] = _values(durations)
    for pool in database.pools:
        numbers |= _counted_by(pool)
    breaker = database.breaker
    numbers[REFUSALS.name, (breaker.name,)] = [breaker.refused]
    for state, count in breaker.transitions.items():
        numbers[TRANSITIONS.name, (breaker.name, state.value)] = [count]
    return numbers


def _counted_by(pool: Pool) -> Numbers:
    measures, labels = pool.measures, (pool.name,)
    plain = {
        SATURATIONS: measures.saturations,
        TIMEOUTS: measures.timeouts,
        LOSSES: measures.losses,
        DRAINS: measures.drains,
        LEAKS: measures.leaks,
    }
    numbers: dict[Key, list[float]] = {(family.name, labels): [count] for family, count in plain.items()}
    numbers[ACQUISITION.name, labels] = _values(measures.acquisition)
    numbers[USE.name, labels] = _values(measures.use)
    for name, durations in list(measures.statements.items()):
        numbers[STATEMENTS.name, (pool.name, name)] = _values(durations)
    return numbers


def standing(database: Database) -> Numbers:
    """Return how this worker stands now."""
    numbers: dict[Key, list[float]] = {(WORKERS.name, ()): [1]}
    for pool in database.pool_states:
        plain = {IN_USE: pool.in_use, SIZE: pool.size, MAX_SIZE: pool.max_size, WAITING: pool.waiting}
        numbers |= {(family.name, (pool.name,)): [value] for family, value in plain.items()}
    for state in State:
        numbers[BREAKER.name, (database.breaker.name, state.value)] = [database.breaker.state is state]
    for replica in database.replica_states:
        numbers[LAG.name, (replica.name,)] = [replica.lag_s]
    return numbers


def _values(histogram: Histogram) -> list[float]:
    return [*histogram.counts, histogram.sum_s]


def exposed(numbers: Numbers) -> Iterator[Metric]:
    """Give the numbers in the form that they are scraped in; what was not counted yet has its name all the same."""
    metrics = {family.name: _metric(family) for family in FAMILIES}
    for (name, labels), values in sorted(numbers.items()):
        metric = metrics[name]
        if isinstance(metric, HistogramMetricFamily):
            metric.add_metric(labels, _cumulative(values[:-1]), values[-1])
        else:
            metric.add_metric(labels, values[0])
    yield from metrics.values()


def _metric(family: Family) -> _Metric:
    return _KINDS[family.kind](family.name, family.documentation, labels=family.labels)


def _cumulative(counts: list[float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, count in zip(_LE, counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
