"""The price of row-level security: the same statements without it, with our policies, and with a function per row.

Who asks is what differs, not what is asked: a role that policies do not bind, one with the service's own policies, one
with policies of the first design, which call `has_molecule_access` for each row. All go through the service's session,
over one connection each, and take turns within every round.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final, cast
from uuid import UUID

import psycopg

from app.domain.callers import ANON, Caller, Role
from app.errors import UnavailableError
from benchmarks import dataset, index_use, security_data
from benchmarks.index_use import UnusedIndex
from benchmarks.load import LoadError
from benchmarks.stats import MS_PER_S
from benchmarks.targets import Verdict
from database.listing import ListRequest, Shape, compose_count
from database.repositories.molecules import MOLECULES, MoleculeReader
from database.session import Database, ReadSession
from database.urls import DatabaseUrls

CHILDREN: Final = Shape(include=("identifiers", "properties"))
BURST_S: Final = 0.03
WARM_UP_S: Final = 0.3
SLOW_MS: Final = 1000.0
"""What takes longer is asked once, and keeps that figure for all rounds."""
CONNECT_TIMEOUT_S: Final = 10.0

# Membership would bring the policies of the other role along with its grants, and only one of these is past policies.
MAKE_ROLES_SQL: Final = """
DO $$
BEGIN
    IF to_regrole('bench_unbound') IS NULL THEN
        CREATE ROLE bench_unbound NOLOGIN BYPASSRLS;
        CREATE ROLE bench_per_row NOLOGIN NOBYPASSRLS;
    END IF;
END
$$;
GRANT authenticated TO bench_unbound;
GRANT bench_unbound, bench_per_row TO cryoprotect_request
"""
ADD_PER_ROW_POLICIES_SQL: Final = """
GRANT USAGE ON SCHEMA public, private TO bench_per_row;
GRANT SELECT ON public.molecules, public.molecule_identifiers, public.molecular_properties TO bench_per_row;
GRANT EXECUTE ON FUNCTION private.has_molecule_access(uuid) TO bench_per_row;
CREATE POLICY molecules_select_bench_per_row ON public.molecules FOR SELECT TO bench_per_row
USING (private.has_molecule_access(id));
CREATE POLICY molecule_identifiers_select_bench_per_row ON public.molecule_identifiers FOR SELECT TO bench_per_row
USING (private.has_molecule_access(molecule_id));
CREATE POLICY molecular_properties_select_bench_per_row ON public.molecular_properties FOR SELECT TO bench_per_row
USING (private.has_molecule_access(molecule_id))
"""
DROP_PER_ROW_POLICIES_SQL: Final = """
DROP POLICY IF EXISTS molecules_select_bench_per_row ON public.molecules;
DROP POLICY IF EXISTS molecule_identifiers_select_bench_per_row ON public.molecule_identifiers;
DROP POLICY IF EXISTS molecular_properties_select_bench_per_row ON public.molecular_properties;
DROP OWNED BY bench_per_row
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """Somebody who asks, and what stands between them and the rows."""

    name: str
    caller: Caller


_MEMBER: Final = Caller(
    role="authenticated",
    user_id=dataset.CALLER,
    claims_json=f'{{"role":"authenticated","sub":"{dataset.CALLER}"}}',
)
UNBOUND: Final = Variant("no RLS", replace(_MEMBER, role=cast("Role", "bench_unbound")))
POLICIES: Final = Variant("policies", _MEMBER)
PER_ROW: Final = Variant("function per row", replace(_MEMBER, role=cast("Role", "bench_per_row")))
EVERYBODY: Final = Variant("policies, anon", ANON)
VARIANTS: Final = (UNBOUND, POLICIES, PER_ROW, EVERYBODY)


@dataclass(frozen=True, slots=True)
class Keys:
    """Ids to ask for in turn: of molecules that everybody sees, and of those in the caller's own projects."""

    public: Iterator[UUID]
    own: Iterator[UUID]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how many times its time without RLS it may take."""

    name: str
    ask: Callable[[ReadSession, Keys], object]
    at_most: float


def _count(session: ReadSession) -> int:
    plan = compose_count(MOLECULES, ListRequest(), signed_in=session.caller.role == "authenticated")
    return int(session.rows(plan.statement, plan.parameters)[0][0])


LIST_50: Final = Question("list 50", lambda session, _: MoleculeReader(session).page(ListRequest()), 1.2)
GET_PUBLIC: Final = Question(
    "GET one, public", lambda session, keys: MoleculeReader(session).get(next(keys.public)), 1.3
)
GET_OWN: Final = Question("GET one, own", lambda session, keys: MoleculeReader(session).get(next(keys.own)), 1.3)
LIST_50_WITH_CHILDREN: Final = Question(
    "list 50 with children", lambda session, _: MoleculeReader(session).page(ListRequest(shape=CHILDREN)), 1.15
)
COUNT_ALL: Final = Question("count all visible", lambda session, _: _count(session), 2.0)
QUESTIONS: Final = (LIST_50, GET_PUBLIC, GET_OWN, LIST_50_WITH_CHILDREN, COUNT_ALL)
LEAST_GAIN: Final = 20.0
"""How many times the function per row has to take for the count."""
MOST_GROWTH: Final = 1.3


@dataclass(frozen=True, slots=True)
class Contestant:
    """One variant at one size, with a connection of its own and the ids that it asks for in turn."""

    size: int
    variant: Variant
    session: ReadSession
    keys: Keys

    def measure(self, question: Question, seconds: float) -> float:
        """Return the median of a burst of whole transactions, in milliseconds; infinite where the server gave up."""
        taken_ms: list[float] = []
        deadline_s = time.perf_counter() + seconds
        while not taken_ms or time.perf_counter() < deadline_s:
            began_s = time.perf_counter()
            try:
                question.ask(self.session, self.keys)
            except UnavailableError:
                return math.inf
            taken_ms.append((time.perf_counter() - began_s) * MS_PER_S)
        return statistics.median(taken_ms)


@dataclass(frozen=True, slots=True)
class Price:
    """One question at one size: the medians of each variant's rounds, in milliseconds."""

    question: Question
    size: int
    rounds_ms: dict[str, list[float]]

    def median_ms(self, variant: Variant) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.rounds_ms[variant.name])

    def ratio(self, variant: Variant, other: Variant) -> float:
        """Return how many times the other's time a variant takes, as the median over the rounds."""
        return median_ratio(self.rounds_ms[variant.name], self.rounds_ms[other.name])


@dataclass(frozen=True, slots=True)
class SecurityReport:
    """What row-level security costs."""

    rounds: int
    prices: Sequence[Price]
    unused_indexes: Sequence[UnusedIndex]

    @property
    def verdicts(self) -> list[Verdict]:
        """The targets and whether they were reached."""
        beside_none = [
            _at_most(
                f"{one.question.name}, {one.size:,}, beside {UNBOUND.name}",
                one.ratio(POLICIES, UNBOUND),
                one.question.at_most,
            )
            for one in self.prices
        ]
        gains = [
            _at_least(f"{one.question.name}, {one.size:,}, {PER_ROW.name} beside policies", gain, LEAST_GAIN)
            for one in self.prices
            if one.question is COUNT_ALL
            for gain in (one.ratio(PER_ROW, POLICIES),)
        ]
        return [*beside_none, *gains, *(self._growth(question) for question in (LIST_50, GET_PUBLIC, GET_OWN))]

    def _growth(self, question: Question) -> Verdict:
        sizes = [one for one in self.prices if one.question is question]
        smallest, largest = sizes[0], sizes[-1]
        measured = median_ratio(largest.rounds_ms[POLICIES.name], smallest.rounds_ms[POLICIES.name])
        return _at_most(f"{question.name}, {largest.size:,} beside {smallest.size:,}", measured, MOST_GROWTH)


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def measure_security(
    base_url: str, secret: str, sizes: Sequence[int], rounds: int, say: Callable[[str], None]
) -> SecurityReport:
    """Return the price of row-level security at each size.

    The policies that only the benchmark needs are gone after it; its two roles, which log nobody in, stay.

    Raises:
        DataError: A database could not be filled as it should be.
        LoadError: A variant does not see what it should.
    """
    with ExitStack() as stack:
        urls = {size: security_data.prepare(base_url, secret, size, say) for size in sizes}
        contestants = [one for size in sizes for one in _enter_size(stack, urls[size], size)]
        prices = []
        for question in QUESTIONS:
            say(f"{question.name}, with and without row-level security")
            prices += _measure_question(contestants, question, rounds)
        say("every sort and filter, to see which indexes serve")
        unused = index_use.measure(urls[sizes[1]], (POLICIES.caller, EVERYBODY.caller))
        return SecurityReport(rounds, prices, unused)


def _measure_question(contestants: Sequence[Contestant], question: Question, rounds: int) -> list[Price]:
    """Return everybody's rounds; each begins with somebody else, and the first of all is not counted."""
    taken = {id(one): [one.measure(question, WARM_UP_S)] for one in contestants}
    for number in range(rounds):
        start = number % len(contestants)
        for one in [*contestants[start:], *contestants[:start]]:
            last_ms = taken[id(one)][-1]
            taken[id(one)].append(last_ms if last_ms > SLOW_MS else one.measure(question, BURST_S))
    return [
        Price(question, size, {one.variant.name: taken[id(one)][1:] for one in contestants if one.size == size})
        for size in dict.fromkeys(one.size for one in contestants)
    ]


def _enter_size(stack: ExitStack, urls: DatabaseUrls, size: int) -> list[Contestant]:
    stack.enter_context(_per_row_policies(urls.admin))
    public, own = security_data.public_ids(urls.admin), security_data.own_ids(urls.admin)
    contestants = []
    for variant in VARIANTS:
        database = Database(urls, min_size=1, max_size=1, timeout_s=CONNECT_TIMEOUT_S, transaction_pooler=False)
        database.open()
        stack.callback(database.close)
        keys = Keys(itertools.cycle(public), itertools.cycle(public if variant is EVERYBODY else own))
        contestants.append(Contestant(size, variant, database.reading(variant.caller), keys))
    _check_counts(contestants)
    return contestants


def _check_counts(contestants: Sequence[Contestant]) -> None:
    """Refuse variants that do not see what they should.

    Raises:
        LoadError: Somebody's newest molecules are not those of the policies, or the unbound sees fewer than all.
    """
    newest = {one.variant: MoleculeReader(one.session).page(ListRequest()).documents for one in contestants}
    counts = {one.variant: _count(one.session) for one in contestants if one.variant is not PER_ROW}
    if newest[PER_ROW] != newest[POLICIES] or not counts[EVERYBODY] < counts[POLICIES] < counts[UNBOUND]:
        msg = f"the variants do not see what they should: {counts}"
        raise LoadError(msg)


@contextmanager
def _per_row_policies(admin_url: str) -> Iterator[None]:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(MAKE_ROLES_SQL)
        connection.execute(DROP_PER_ROW_POLICIES_SQL)
        connection.execute(ADD_PER_ROW_POLICIES_SQL)
        try:
            yield
        finally:
            connection.execute(DROP_PER_ROW_POLICIES_SQL)


def _at_most(name: str, measured: float, limit: float) -> Verdict:
    return Verdict(name, f"<= {limit:g}", measured, "x", measured <= limit)


def _at_least(name: str, measured: float, limit: float) -> Verdict:
    return Verdict(name, f">= {limit:g}", measured, "x", measured >= limit)
