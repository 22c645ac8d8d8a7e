"""Which indexes earn their keep: every sort and every filter that the listing of molecules declares, as a workload.

An index that none of it scanned may still hold a constraint or serve a foreign key; what is left can be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
import psycopg

from app.domain.callers import Caller
from app.errors import UnavailableError
from benchmarks.security_data import TABLES
from database.listing import Detail, Field, Filter, Kind, ListRequest, Shape, Sort
from database.repositories.molecules import MOLECULES, MoleculeReader
from database.session import Database
from database.urls import DatabaseUrls

LIMIT: Final = 50
CONNECT_TIMEOUT_S: Final = 10.0

RESET_COUNTERS_SQL: Final = "SELECT pg_stat_reset()"
UNUSED_INDEXES_SQL: Final = """
SELECT s.indexrelname, pg_relation_size(s.indexrelid),
    CASE
        WHEN i.indisunique THEN 'unique'
        WHEN EXISTS (
            SELECT FROM pg_constraint AS f
            WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND i.indpred IS NULL
                AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] = f.conkey
        ) THEN 'foreign key'
        ELSE ''
    END
FROM pg_stat_user_indexes AS s
JOIN pg_index AS i ON i.indexrelid = s.indexrelid
WHERE s.relname = ANY (%(tables)s) AND s.idx_scan = 0
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class UnusedIndex:
    """An index that the workload never scanned."""

    name: str
    size_bytes: int
    holds: str
    """What it is there for all the same: `unique`, `foreign key`, or nothing that the catalogue knows."""


def measure(urls: DatabaseUrls, callers: tuple[Caller, ...]) -> list[UnusedIndex]:
    """Return the indexes that no list, no search and no look-up of these callers scanned."""
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        connection.execute(RESET_COUNTERS_SQL)
        for caller in callers:
            database = Database(urls, min_size=1, max_size=1, timeout_s=CONNECT_TIMEOUT_S, transaction_pooler=False)
            database.open()
            _work(MoleculeReader(database.reading(caller)))
            # A server process that ends leaves its counts.
            database.close()
        connection.execute("SELECT pg_sleep(1)")
        return [UnusedIndex(*row) for row in connection.execute(UNUSED_INDEXES_SQL, {"tables": list(TABLES)})]


def _work(reader: MoleculeReader) -> None:
    page = reader.page(ListRequest(shape=Shape(Detail.FULL), limit=LIMIT), "exact")
    record = orjson.loads(page.documents[LIMIT // 2])
    for request in (*_sorted_lists(), *_filtered_lists(record), ListRequest(query=record["name"])):
        try:
            first = reader.page(request)
            if first.next_after is not None and not request.filters:
                reader.page(ListRequest(order=request.order, after=first.next_after))
        except UnavailableError:
            # Longer than a request may take: whatever it does, an index does not serve it.
            continue
    molecule = UUID(record["id"])
    reader.get(molecule, Shape(Detail.FULL))
    reader.properties(molecule)
    identifier = record["identifiers"][0]
    reader.lookup(
        [
            ("id", record["id"]),
            ("inchikey", record["inchikey"]),
            (f"{identifier['source']}:{identifier['kind']}", identifier["external_id"]),
        ]
    )


def _sorted_lists() -> Iterator[ListRequest]:
    for name in MOLECULES.sortable:
        for descending in (False, True):
            yield ListRequest(order=(Sort(name, descending=descending),))


def _filtered_lists(record: dict[str, object]) -> Iterator[ListRequest]:
    for field in MOLECULES.fields:
        for operator in field.operators:
            yield ListRequest(filters=(Filter(field.name, operator, _value(field, operator, record[field.name])),))


def _value(field: Field, operator: str, shown: object) -> object:
    """Return a value for a filter that the record passes, or just fails."""
    if operator == "isnull":
        return True
    value = str(UUID(int=0)) if shown is None and field.kind is Kind.UUID else shown
    if operator == "in":
        return [value]
    return (value, value) if operator == "range" else value
