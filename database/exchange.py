"""Several statements to Postgres and back in one round trip, straight through libpq.

psycopg's cursors give the same in pipeline mode, at four times the processor time a read: they are made
to be general and wait through Python's selectors. A small read costs little else, so reads take this
path: everything is sent at once behind a single sync, which also makes it one transaction, and the
process waits once. Adapting values, loading rows and making exceptions stay psycopg's work.

Statements are prepared at a role's second use of them on a connection; what was prepared is known from each
statement's own result, because an error makes the server skip the rest.
"""

from __future__ import annotations

import itertools
import re
import select
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg import adapt
from psycopg.abc import Transformer
from psycopg.adapt import PyFormat
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from database.connection import ANSWER_TIMEOUT_S, SILENCE_S, SilenceError, require_speaking

Row = tuple[Any, ...]
Parameters = Mapping[str, object]

_PLACEHOLDER: Final = re.compile(r"%(?:\((\w+)\)s|%)")
_MAX_PREPARED: Final = 200
# A prepared statement that is not there, and one whose result has another type now.
_STALE_PREPARED: Final = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)
_SUCCEEDED: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


_Key = tuple[bytes, tuple[int, ...]]
# Least recently used first; no name yet after a first use.
_Prepared = OrderedDict[_Key, bytes | None]


@dataclass(slots=True)
class _Kept:
    """What is kept of one connection from exchange to exchange."""

    wait: Callable[[], bool]
    """Waits until something can be read; False where nothing came within `SILENCE_S`."""
    prepared: defaultdict[str, _Prepared] = field(default_factory=lambda: defaultdict(OrderedDict))
    """By role: row-level security ties a plan to one, and whenever another came the server would plan anew."""


@dataclass(slots=True)
class _Step:
    """One result to come: of a statement, or of preparing one."""

    wanted: bool = False
    prepares: tuple[_Key, bytes] | None = None


_NUMBERS: Final = itertools.count(1)
_KEPT: Final[WeakKeyDictionary[psycopg.Connection, _Kept]] = WeakKeyDictionary()


def exchange(
    connection: psycopg.Connection,
    preamble: tuple[str, Parameters],
    statements: Sequence[tuple[str, Parameters]],
    *,
    role: str | None,
) -> list[list[Row]]:
    """Return the rows of each statement; with the preamble they are one transaction, which the first error ends.

    They are prepared where the role is named that the preamble takes.

    The statements may be sent twice, where the server has lost what was prepared or a migration has
    changed what it means: only reads belong here.

    Raises:
        psycopg.Error: What the server refused, or that it is gone. The connection is closed where its
            state is not known.
    """
    try:
        return _exchange(connection, preamble, statements, role=role)
    except _STALE_PREPARED:
        kept = _KEPT[connection]
        if not kept.prepared:
            raise
        kept.prepared.clear()
        return _exchange(connection, preamble, statements, role=role)


def _exchange(
    connection: psycopg.Connection,
    preamble: tuple[str, Parameters],
    statements: Sequence[tuple[str, Parameters]],
    *,
    role: str | None,
) -> list[list[Row]]:
    pgconn = connection.pgconn
    kept = _kept(connection)
    known = kept.prepared[role] if role else None
    transformer = adapt.Transformer(connection)
    try:
        pgconn.enter_pipeline_mode()
        steps = _send(pgconn, transformer, known, *preamble)
        steps[-1].wanted = False
        for text, values in statements:
            steps += _send(pgconn, transformer, known, text, values)
        pgconn.pipeline_sync()
        results = _receive(connection, kept.wait, len(steps))
        pgconn.exit_pipeline_mode()
    except BaseException:
        # An answer may still be on its way; nobody else must read it.
        connection.close()
        raise
    if known is not None:
        _remember(known, steps, results)
    return _rows(connection, transformer, steps, results)


def _kept(connection: psycopg.Connection) -> _Kept:
    kept = _KEPT.get(connection)
    if kept is None:
        kept = _KEPT[connection] = _Kept(_waiting()(connection.pgconn.socket))
    return kept


def _send(
    pgconn: PGconn, transformer: Transformer, known: _Prepared | None, text: str, values: Parameters
) -> list[_Step]:
    query, names = _converted(text)
    dumped = transformer.dump_sequence([values[name] for name in names], [PyFormat.AUTO] * len(names))
    types, formats = transformer.types or (), transformer.formats or ()
    if known is None:
        pgconn.send_query_params(query, dumped, types, formats, Format.BINARY)
        return [_Step(wanted=True)]
    key = (query, types)
    steps = _forget_oldest(pgconn, known)
    if key not in known:
        known[key] = None
        pgconn.send_query_params(query, dumped, types, formats, Format.BINARY)
        return [*steps, _Step(wanted=True)]
    known.move_to_end(key)
    name = known[key]
    if name is None:
        name = b"read_%d" % next(_NUMBERS)
        pgconn.send_prepare(name, query, types)
        steps.append(_Step(prepares=(key, name)))
    pgconn.send_query_prepared(name, dumped, formats, Format.BINARY)
    return [*steps, _Step(wanted=True)]


def _forget_oldest(pgconn: PGconn, known: _Prepared) -> list[_Step]:
    if len(known) < _MAX_PREPARED:
        return []
    _, name = known.popitem(last=False)
    if name is None:
        return []
    pgconn.send_query_params(b"DEALLOCATE " + name, None)
    return [_Step()]


@lru_cache(maxsize=4096)
def _converted(text: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with the server's own placeholders, and the names behind them."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match[1]
        return "%" if name is None else f"${names.setdefault(name, len(names) + 1)}"

    return _PLACEHOLDER.sub(number, text).encode(), tuple(names)


def _receive(connection: psycopg.Connection, wait: Callable[[], bool], count: int) -> list[PGresult]:
    """Return one result for each statement sent, read up to the sync."""
    pgconn = connection.pgconn
    while pgconn.flush():
        if not _wait_for_room(pgconn.socket):
            _wait_on(connection, partial(_wait_for_room, pgconn.socket))
        pgconn.consume_input()
    results: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            if not wait():
                _wait_on(connection, wait)
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            break
        results.append(result)
    if len(results) != count:
        msg = f"the server gave {len(results)} results for {count} statements"
        raise psycopg.InternalError(msg)
    return results


def _wait_on(connection: psycopg.Connection, wait: Callable[[], bool]) -> None:
    """Wait on while the server speaks, for as long as a statement may take; rare, and no cost to the rest."""
    last_s = time.monotonic() + ANSWER_TIMEOUT_S - SILENCE_S
    while time.monotonic() < last_s:
        require_speaking(connection)
        if wait():
            return
    msg = f"no answer from the server within {ANSWER_TIMEOUT_S:.0f} s"
    raise SilenceError(msg)


def _remember(known: _Prepared, steps: Sequence[_Step], results: Sequence[PGresult]) -> None:
    for step, result in zip(steps, results, strict=True):
        if step.prepares is not None and result.status in _SUCCEEDED:
            key, name = step.prepares
            known[key] = name


def _rows(
    connection: psycopg.Connection, transformer: Transformer, steps: Sequence[_Step], results: Sequence[PGresult]
) -> list[list[Row]]:
    answers: list[list[Row]] = []
    for step, result in zip(steps, results, strict=True):
        if result.status not in _SUCCEEDED:
            raise error_from_result(result, encoding=connection.info.encoding)
        if step.wanted:
            transformer.set_pgresult(result)
            answers.append(transformer.load_rows(0, result.ntuples, tuple))
    return answers


def _wait_for_room(descriptor: int) -> bool:
    """Wait until more can be sent or something has come; rare, for statements are small."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLOUT)
    return bool(poll.poll(SILENCE_S * 1000))


def _by_poll(descriptor: int) -> Callable[[], bool]:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(SILENCE_S * 1000))


def _by_gevent(descriptor: int) -> Callable[[], bool]:
    """Return a wait during which other requests run; its watchers serve as long as the connection does.

    gevent's own waits make two anew each time, and a list waits about four times.
    """
    from gevent import get_hub, getcurrent  # noqa: PLC0415 - only where gevent is at work

    hub = get_hub()
    readable = hub.loop.io(descriptor, 1)
    timer = hub.loop.timer(SILENCE_S, SILENCE_S)

    def wait() -> bool:
        timer.again(getcurrent().throw, _LateError)
        try:
            hub.wait(readable)
        except _LateError:
            return False
        finally:
            timer.stop()
        return True

    return wait


class _LateError(Exception):
    """Nothing came in time."""


@lru_cache(maxsize=1)
def _waiting() -> Callable[[int], Callable[[], bool]]:
    """Return how this process waits: under gevent other requests run meanwhile."""
    patched = getattr(select.poll, "__module__", "").startswith("gevent")
    return _by_gevent if patched else _by_poll
