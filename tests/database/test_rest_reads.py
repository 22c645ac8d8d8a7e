"""The functions of the REST interface: each answers what the service's own statement does, to the same eyes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.errors import NotFoundError
from database.fallback import FUNCTIONS
from database.listing import Listing, ListRequest, Shape, Sort, compose_one
from database.repositories.base import Page, ReadRepository, page_of
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, Acting, acting
from tests.database.clones import migrated_database
from tests.database.rest_rows import RECORDS, add_records
from tests.plugins.database import open_database

ALICE: Final = factories.user()
BOB: Final = factories.user()
CALLERS: Final = [pytest.param(ANON, id="anon"), pytest.param(ALICE, id="alice"), pytest.param(BOB, id="bob")]
RESOURCES: Final = [pytest.param(function, reader, id=function) for function, reader in FUNCTIONS.items()]
LIMIT: Final = 4
SOURCE_SQL: Final = "SELECT prosrc FROM pg_proc WHERE oid = %(function)s::regproc"
Reader = type[ReadRepository]


@pytest.fixture(scope="module")
def own(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give a database with records of everybody's, of alice's and of bob's."""
    with migrated_database(server_url, urls, "rest_reads") as made:
        with psycopg.connect(made.admin, autocommit=True) as admin:
            for owner in (None, ALICE.user_id, BOB.user_id):
                add_records(admin, owner)
        yield made


@pytest.fixture(scope="module")
def layer(own: DatabaseUrls) -> Iterator[Database]:
    """Give the database layer on it."""
    database = open_database(own)
    yield database
    database.close()


@pytest.fixture
def act(own: DatabaseUrls) -> Iterator[Callable[[Caller], Acting]]:
    """Give a maker of transactions with a caller's role and claims, as the REST interface begins them."""
    opened = []

    def begin(caller: Caller) -> Acting:
        opened.append(acting(own, caller))
        return opened[-1].__enter__()

    yield begin
    for transaction in opened:
        transaction.__exit__(None, None, None)


def call(acting: Acting, function: str, **arguments: Any) -> list[tuple[bytes, int]]:
    """Return the records of a function's answer."""
    named = ", ".join(f"{name} => %({name})s" for name in arguments)
    ((answer,),) = acting.rows(f"SELECT public.{function}({named})::text", arguments)
    return [(record["document"].encode(), record["version"]) for record in orjson.loads(answer)["records"]]


def page(acting: Acting, function: str, listing: Listing, request: ListRequest) -> Page:
    """Return a page of the function's."""
    order = listing.complete_order(request.order)
    after = None if request.after is None else list(request.after)
    rows = call(acting, function, order_by=[*map(str, order)], after=after, page_limit=request.limit + 1)
    return page_of(rows, request, tuple(sort.name for sort in order))


def walk(acting: Acting, layer: Database, caller: Caller, function: str, reader: Reader, *order: Sort) -> list[bytes]:
    """Return all records in an order, page by page; each page is the service's own."""
    records: list[bytes] = []
    request = ListRequest(order=order, limit=LIMIT)
    while True:
        own, given = reader(layer.reading(caller)).page(request), page(acting, function, reader.listing, request)
        assert given == own
        records += given.documents
        if given.next_after is None:
            return records
        request = replace(request, after=given.next_after)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("function", "reader"), RESOURCES)
def test_each_page_is_the_services_own(
    act: Callable[[Caller], Acting], layer: Database, caller: Caller, function: str, reader: Reader
) -> None:
    acting = act(caller)

    for name in reader.listing.sortable:
        for falls in (False, True):
            records = walk(acting, layer, caller, function, reader, Sort(name, falls))
            assert len(set(records)) == (RECORDS if caller is ANON else 2 * RECORDS)


@pytest.mark.parametrize(("function", "reader"), RESOURCES)
def test_so_it_is_where_several_columns_order(
    act: Callable[[Caller], Acting], layer: Database, function: str, reader: Reader
) -> None:
    alice = act(ALICE)

    for first, second in permutations(reader.listing.sortable, 2):
        for falls in (False, True):
            records = walk(alice, layer, ALICE, function, reader, Sort(first, falls), Sort(second, not falls))
            assert len(set(records)) == 2 * RECORDS


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("function", "reader"), RESOURCES)
def test_a_record_is_the_services_own(
    act: Callable[[Caller], Acting], layer: Database, caller: Caller, function: str, reader: Reader
) -> None:
    everybodys = reader(layer.reading(caller)).page(ListRequest()).documents

    for record in everybodys:
        key = UUID(orjson.loads(record)["id"])
        document = reader(layer.reading(caller)).get(key)
        assert call(act(caller), function, record_id=key) == [(document.json, document.version)]


@pytest.mark.parametrize(("function", "reader"), RESOURCES)
def test_nobody_sees_a_record_that_is_anothers(
    act: Callable[[Caller], Acting], layer: Database, function: str, reader: Reader
) -> None:
    alices = reader(layer.reading(ALICE)).page(ListRequest()).documents
    others = {ANON: call(act(ANON), function), BOB: call(act(BOB), function)}
    private = [record for record in alices if record not in [seen for seen, _ in others[ANON]]]

    assert len(private) == RECORDS
    for caller, seen in others.items():
        assert not {record for record, _ in seen} & set(private)
        for record in private:
            key = UUID(orjson.loads(record)["id"])
            assert call(act(caller), function, record_id=key) == []
            with pytest.raises(NotFoundError):
                reader(layer.reading(caller)).get(key)
    # They are there to be seen.
    assert {record for record, _ in call(act(ALICE), function)} > set(private)


@pytest.mark.parametrize(("function", "reader"), RESOURCES)
def test_nothing_is_found_where_nothing_is(act: Callable[[Caller], Acting], function: str, reader: Reader) -> None:
    assert call(act(ALICE), function, record_id=uuid4()) == []
    last = ["0001-01-01", "00000000-0000-0000-0000-000000000000"]
    assert call(act(ALICE), function, order_by=["-created_at", "-id"], after=last) == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_service_role_may_not_ask(act: Callable[[Caller], Acting], function: str) -> None:
    assert act(SERVICE).attempt(f"SELECT public.{function}()") == REFUSED
    assert act(ANON).attempt(f"SELECT public.{function}()") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"order_by": ["acl", "id"]},
        {"order_by": ["m.id"]},
        {"order_by": ["id; DROP TABLE public.molecules"]},
        {"order_by": ["id DESC, (SELECT pg_sleep(5))"]},
        {"order_by": ["column"]},
        {"order_by": ["--id"]},
        {"order_by": ["id", "-id"]},
        {"order_by": ["id"] * 1000, "after": ["00000000-0000-0000-0000-000000000000"] * 1000},
        {"order_by": [""]},
        {"order_by": [None]},
        {"order_by": []},
        {"order_by": None},
        {"order_by": ["-created_at", "-id"], "after": ["2026-01-01"]},
        {"page_limit": 0},
        {"page_limit": -1},
        {"page_limit": 1002},
        {"page_limit": None},
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused(act: Callable[[Caller], Acting], arguments: dict[str, Any]) -> None:
    named = ", ".join(f"{name} => %({name})s" for name in arguments)

    assert act(ANON).attempt(f"SELECT public.get_molecules({named})", arguments) == "22023"


@pytest.mark.parametrize("text", ["'", "2026-01-01'; SELECT 1 --", "$1", "%s"])
def test_a_value_never_becomes_part_of_the_statement(act: Callable[[Caller], Acting], text: str) -> None:
    alice = act(ALICE)

    assert call(alice, "get_molecules", order_by=["name", "id"], after=[text, str(uuid4())])
    # A date it is not.
    refused = alice.attempt("SELECT public.get_molecules(after => %s)", ([text, str(uuid4())],))
    assert refused == "22007"


@pytest.mark.parametrize(("function", "reader"), RESOURCES)
def test_the_functions_text_is_the_services_statement(own: DatabaseUrls, function: str, reader: Reader) -> None:
    """A listing that changes needs a migration that replaces its function."""
    with psycopg.connect(own.admin) as admin:
        ((source,),) = admin.execute(SOURCE_SQL, {"function": f"public.{function}"}).fetchall()

    assert _reads(source, reader.listing)
    assert not _reads(source, replace(reader.listing, fields=reader.listing.fields[::-1]))


def _reads(source: str, listing: Listing) -> bool:
    """Return whether a function's text holds what the service selects, and from where."""
    statement = _squeezed(compose_one(listing, Shape()))
    _, document, _, origin, *_ = (_squeezed(part) for part in re.split(r"\$document\$|\$source\$", source))
    return f"(SELECT {document}) AS d), " in statement and f" FROM {origin} WHERE " in statement


def _squeezed(text: str) -> str:
    """Return a statement with a single blank where there is any, none inside brackets."""
    return re.sub(r"(?<=\() | (?=\))", "", " ".join(text.split()))


def test_cursors_are_made_of_what_a_record_shows() -> None:
    for reader in FUNCTIONS.values():
        assert set(reader.listing.sortable) <= {item.name for item in reader.listing.parts(Shape())}
