"""Every statement of the database package, planned by the migrated schema as the role that sends it.

Planning checks names, types and privileges alike: a column that a migration renames, or a grant that it
forgets, fails here and not with a client.
"""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

import database
from app.domain.callers import ANON, SERVICE, Caller
from database.listing import (
    ESTIMATE_CAP,
    Detail,
    Field,
    Filter,
    Inclusion,
    Kind,
    Listing,
    ListRequest,
    Many,
    Plan,
    Scope,
    Shape,
    Sort,
    compose_count,
    compose_estimate,
    compose_one,
    compose_page,
)
from database.repositories.experiments import (
    EXPERIMENTS,
    EXPERIMENTS_OF_MIXTURE,
    EXPERIMENTS_OF_MOLECULE,
    EXPERIMENTS_OF_PROJECT,
)
from database.repositories.history import HISTORIES
from database.repositories.import_requests import ERRORS_OF_IMPORT, IMPORT_ERRORS
from database.repositories.imports import STAGE_TABLE_SQL
from database.repositories.inclusions import INCLUSIONS, inclusions_of, names_of
from database.repositories.mixtures import MIXTURES, MIXTURES_OF_MOLECULE
from database.repositories.molecules import MOLECULES
from database.repositories.predictions import (
    PREDICTIONS,
    PREDICTIONS_OF_MIXTURE,
    PREDICTIONS_OF_MOLECULE,
    PREDICTIONS_OF_PROJECT,
)
from database.repositories.projects import INVITATIONS, TEAMS_OF_PROJECT
from database.repositories.shares import MIXTURES_OF_PROJECT, MOLECULES_OF_PROJECT
from database.repositories.teams import MEMBERS, MEMBERS_OF_TEAM
from database.repositories.toxicity import RESULTS, RESULTS_OF_MOLECULE, RESULTS_OF_PROJECT
from database.session import READ_PREAMBLE_SQL
from database.urls import DatabaseUrls
from tests import factories
from tests.database.clones import migrated_database

_T = TypeVar("_T")
KEY: Final = UUID("00000000-0000-0000-0000-000000000001")
MOMENT: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
USER: Final = factories.user(KEY)
ROWS: Final = 20_000

# A value of the type that the code sends, for each placeholder of a constant.
PARAMETERS: Final[dict[str, object]] = {
    "added": 1,
    "after": KEY,
    "anyway": False,
    "attempts": 3,
    "best_objective": None,
    "body": b"{}",
    "both": True,
    "by_parent": False,
    "caller": str(KEY),
    "cell_type": None,
    "checkpoint": "{}",
    "claims": "{}",
    "completed_at": None,
    "conditions": "{}",
    "count": 3,
    "created_by": KEY,
    "densities": True,
    "done": 1,
    "done_before": 0,
    "description": None,
    "display_name": None,
    "endpoint": None,
    "end_status": "succeeded",
    "done_fraction": 0.5,
    "error": "why",
    "every_s": 900.0,
    "existing": 1,
    "expires_at": MOMENT,
    "failure": None,
    "failure_row": None,
    "fence": 1,
    "first": KEY,
    "generations": 1,
    "headers": "{}",
    "id": KEY,
    "ids": [KEY],
    "inputs_hash": "0" * 64,
    "is_public": True,
    "issued_at": MOMENT,
    "jti": "jti",
    "job_id": 1,
    "kept": [KEY],
    "key": "key",
    "kinds": ["id", "inchikey", "name", "cas:cas_number"],
    "last": KEY,
    "lease_s": 900.0,
    "licence": None,
    "longest": dt.timedelta(days=1),
    "limit": 200,
    "limit_ms": "2000",
    "max_attempts": 20,
    "max_wait_s": 600.0,
    "mixture_id": KEY,
    "molecule_id": KEY,
    "molecules": "[]",
    "name": "name",
    "new_priority": -1,
    "notes": None,
    "outcome": "pass",
    "owners": [KEY],
    "parameters": "{}",
    "parent_jti": None,
    "parent": KEY,
    "path": "/a/file.smi",
    "pause_s": 1.0,
    "positions": [0],
    "parents": None,
    "project_id": KEY,
    "property_type": None,
    "protocol": None,
    "question": "{}",
    "queues": ["imports", "predictions"],
    "reference": None,
    "refused": 1,
    "refused_rows": "[]",
    "release": "1",
    "removed": [KEY],
    "request": "{}",
    "request_hash": b"hash",
    "request_id": "a-request",
    "resource": "molecules",
    "result": "{}",
    "retry_at": MOMENT,
    "retry_s": 300.0,
    "revoked_by": None,
    "role": "viewer",
    "rows": "[]",
    "run_id": KEY,
    "scopes": ["molecules:write"],
    "sets_completed_at": True,
    "sets_conditions": True,
    "sets_description": True,
    "sets_is_public": False,
    "sets_name": True,
    "sets_notes": False,
    "sets_outcome": True,
    "sets_project_id": False,
    "sets_protocol": True,
    "sets_reference": True,
    "sets_solvent": False,
    "sets_started_at": True,
    "silent_s": 30.0,
    "sha256": None,
    "slow_s": 60.0,
    "slowness": 2.0,
    "solvent": "water",
    "source_id": KEY,
    "stall_ms": "2000",
    "started_at": MOMENT,
    "state": "finished",
    "status": 201,
    "table": "public.molecules",
    "task": "task",
    "team_id": KEY,
    "url": None,
    "user_id": KEY,
    "values": [str(KEY), "PEDCQBHIVMGVHV-UHFFFAOYSA-N", "Glycerol", "56-81-5"],
    "version": 1,
    "window_days": 30,
    "within_s": 30.0,
    "worker_id": 1,
    "worked_s": 1.0,
}
OWN_PARAMETERS: Final[dict[str, dict[str, object]]] = {
    "database.migrate": {"key": 7},
    "database.repositories.comparisons": {"conditions": ["temperature_k"]},
    "database.session": {"role": "anon"},
}
VALUES: Final[dict[Kind, Any]] = {
    Kind.TEXT: "text",
    Kind.UUID: KEY,
    Kind.FLOAT: 1.5,
    Kind.INTEGER: 2,
    Kind.BOOLEAN: True,
    Kind.TIMESTAMP: MOMENT,
}
# Sort values as a cursor brings them back.
KEYS: Final[dict[Kind, str]] = {
    Kind.TEXT: "text",
    Kind.UUID: str(KEY),
    Kind.FLOAT: "1.5",
    Kind.INTEGER: "2",
    Kind.TIMESTAMP: "2026-01-01 00:00:00+00",
}
# What EXPLAIN does not take; tests run these for real.
NOT_PLANNED: Final = {
    "database.repositories.imports.STAGE_TABLE_SQL": "makes what the planner's statements need; see Planner",
    "database.repositories.imports.EMPTY_STAGE_SQL": "empties that",
    "database.repositories.imports.COPY_TO_STAGE_SQL": "fills that",
    "database.cluster.CREATE_DATABASE_SQL": "runs in single-user mode when a cluster is made",
    "database.session.CHECK_DEFERRED_SQL": "ends every dry run",
    "database.session.DEFER_SQL": "goes on after that",
}
# Who sends the statements of a module, or a single one; a user, and the service role, where it is not here.
SENDERS: Final[dict[str, tuple[Caller, ...]]] = {
    "database.repositories.budgets": (SERVICE,),
    "database.repositories.import_requests": (SERVICE,),
    "database.repositories.imports": (SERVICE,),
    "database.repositories.jobs": (SERVICE,),
    "database.repositories.comparisons": (ANON, USER, SERVICE),
    "database.maintenance.deduplicate.run": (SERVICE,),
    "database.maintenance.deduplicate.molecules": (SERVICE,),
    "database.maintenance.deduplicate.references": (SERVICE,),
    "database.maintenance.deduplicate.repeats": (SERVICE,),
    "database.repositories.maintenance": (SERVICE,),
    "database.repositories.optimizations": (SERVICE,),
    "database.repositories.optimizations.ENQUEUE_OPTIMIZATION_SQL": (USER, SERVICE),
    "database.repositories.optimizations.REMOVE_OPTIMIZATION_SQL": (USER, SERVICE),
    "database.repositories.optimizations.VERSION_OPTIMIZATION_SQL": (USER, SERVICE),
    # What a user sends of it, tests/api sends as one.
    "database.repositories.prediction_batches": (SERVICE,),
    "database.repositories.provenance": (SERVICE,),
    "database.repositories.publications": (SERVICE,),
    "database.repositories.system": (SERVICE,),
    "database.repositories.tokens": (SERVICE,),
    "database.repositories.toxicity.IMPORT_RESULTS_SQL": (SERVICE,),
    "database.repositories.toxicity_assays": (SERVICE,),
    "database.replicas": (ANON, USER),
    "database.session": (ANON, USER, SERVICE),
}
# Who reads a listing; everybody, where it is not here.
READERS: Final[dict[str, tuple[Caller, ...]]] = dict.fromkeys(
    ("tokens", "imports", "import_errors"), (SERVICE,)
) | dict.fromkeys(("teams", "members", "projects", "invitations", "prediction_batch", "optimizations"), (USER, SERVICE))
# Which list each scope narrows.
SCOPED: Final = {
    MEMBERS_OF_TEAM: MEMBERS,
    ERRORS_OF_IMPORT: IMPORT_ERRORS,
    TEAMS_OF_PROJECT: INVITATIONS,
    MOLECULES_OF_PROJECT: MOLECULES,
    MIXTURES_OF_MOLECULE: MIXTURES,
    MIXTURES_OF_PROJECT: MIXTURES,
    EXPERIMENTS_OF_MIXTURE: EXPERIMENTS,
    EXPERIMENTS_OF_MOLECULE: EXPERIMENTS,
    EXPERIMENTS_OF_PROJECT: EXPERIMENTS,
    PREDICTIONS_OF_MIXTURE: PREDICTIONS,
    PREDICTIONS_OF_MOLECULE: PREDICTIONS,
    PREDICTIONS_OF_PROJECT: PREDICTIONS,
    RESULTS_OF_MOLECULE: RESULTS,
    RESULTS_OF_PROJECT: RESULTS,
}
# Histories are read within their records only.
WITHIN: Final = SCOPED | {history.scope: history.listing for history in HISTORIES}
ADMIN_MODULES: Final = {"database.migrate", "database.embedded", "database.cluster"}


def _modules() -> Iterator[ModuleType]:
    for item in pkgutil.walk_packages(database.__path__, "database."):
        yield importlib.import_module(item.name)


def _constants() -> dict[str, str]:
    """Return every constant of the package that ends in `_SQL`, by the module that defines it."""
    return {
        f"{module.__name__}.{name}": value
        for module in _modules()
        for name, value in vars(module).items()
        if name.endswith("_SQL") and isinstance(value, str) and not _is_imported(module, name)
    }


def _is_imported(module: ModuleType, name: str) -> bool:
    return name not in getattr(module, "__annotations__", {})


def _listings() -> list[Listing]:
    return _found(Listing)


def _found(kind: type[_T]) -> list[_T]:
    found = {id(value): value for module in _modules() for value in vars(module).values() if isinstance(value, kind)}
    return list(found.values())


CONSTANTS: Final = _constants()
LISTINGS: Final = _listings()
ASKED: Final = [
    pytest.param(listing, caller, id=f"{listing.name}-{caller.role}")
    for listing in LISTINGS
    for caller in READERS.get(listing.name, (ANON, USER, SERVICE))
]


class Planner:
    """Plans statements as a caller, on connections with the service's own logins."""

    def __init__(self, urls: DatabaseUrls) -> None:
        self._connections = {
            role: psycopg.connect(url)
            for role, url in {
                "anon": urls.request,
                "authenticated": urls.request,
                "service_role": urls.service,
                "admin": urls.admin,
            }.items()
        }

    def plan(self, statement: str, parameters: dict[str, Any], caller: Caller | None) -> Any:
        """Return the plan of a statement, as the caller or, without one, the administrator.

        Raises:
            psycopg.Error: The schema and the statement do not belong together, or the caller may not.
        """
        connection = self._connections[caller.role if caller else "admin"]
        explain = sql.SQL("EXPLAIN (FORMAT JSON, VERBOSE) {}").format(sql.SQL(statement))
        with connection.transaction(force_rollback=True):
            if "molecule_staging" in statement:
                connection.execute("SET LOCAL ROLE service_role")
                connection.execute(STAGE_TABLE_SQL)
            if caller is not None:
                connection.execute(READ_PREAMBLE_SQL, {"role": caller.role, "claims": caller.claims_json})
            return connection.execute(explain, parameters).fetchall()[0][0][0]["Plan"]

    def row(self, statement: str) -> tuple[str | None, ...]:
        """Return one row as the administrator sees it."""
        with self._connections["admin"].transaction():
            return tuple(self._connections["admin"].execute(statement.encode()).fetchall()[0])

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()


@pytest.fixture(scope="module")
def planner(server_url: str, urls: DatabaseUrls) -> Iterator[Planner]:
    """Give a planner over some twenty thousand molecules, analysed."""
    with migrated_database(server_url, urls, "sql_contract") as own:
        with psycopg.connect(own.admin, autocommit=True) as admin:
            admin.execute("INSERT INTO user_profiles (id) VALUES (%s)", (KEY,))
            admin.execute(FILL_SQL, {"rows": ROWS, "user": KEY})
            admin.execute("ANALYZE molecules")
        made = Planner(own)
        yield made
        made.close()


FILL_SQL: Final = """
INSERT INTO public.molecules (
    name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public, created_by,
    created_at, updated_at
)
SELECT 'molecule ' || (n * 7919) %% 20011, m.kind, m.smiles, m.inchi, m.inchikey, m.inchikey, m.formula, m.mass,
    n %% 2 = 0, CASE n %% 4 WHEN 1 THEN %(user)s::uuid END, timestamptz '2026-01-01Z' + n * interval '1 minute',
    timestamptz '2026-01-01Z' + (n * 7919) %% 20011 * interval '1 minute'
FROM generate_series(1, %(rows)s) AS n
CROSS JOIN LATERAL (
    SELECT 'molecule' AS kind, 'C' AS smiles, 'InChI=1S/' || n AS inchi,
        translate(lpad(((n * 7919) %% 20011)::text, 14, '0'), '0123456789', 'ABCDEFGHIJ') || '-UHFFFAOYSA-N'
            AS inchikey,
        'C' || n %% 60 || 'H' || n %% 90 AS formula, 16 + (n * 7919) %% 20011 / 10.0 AS mass
    WHERE n %% 5 > 0
    UNION ALL
    SELECT 'polymer', NULL, NULL, NULL, NULL, NULL WHERE n %% 5 = 0
) AS m
"""


def test_the_statements_are_found() -> None:
    assert len(CONSTANTS) >= 35
    assert {id(MOLECULES), id(MIXTURES), id(EXPERIMENTS), id(PREDICTIONS)} <= {id(listing) for listing in LISTINGS}
    assert set(NOT_PLANNED) <= set(CONSTANTS)


@pytest.mark.parametrize("name", sorted(set(CONSTANTS) - set(NOT_PLANNED)))
def test_a_constant_is_planned_as_whoever_sends_it(planner: Planner, name: str) -> None:
    module = name.rpartition(".")[0]
    callers: tuple[Caller | None, ...] = SENDERS.get(name, SENDERS.get(module, (USER, SERVICE)))

    for caller in (None,) if module in ADMIN_MODULES else callers:
        if name.endswith("ENSURE_PROFILE_SQL") and caller is ANON:
            continue
        planner.plan(CONSTANTS[name], PARAMETERS | OWN_PARAMETERS.get(module, {}), caller)


@pytest.mark.parametrize(("listing", "caller"), ASKED)
class TestListings:
    """All that can be asked of a listing, as everybody who may ask."""

    def test_every_shape_of_one_record(self, planner: Planner, listing: Listing, caller: Caller) -> None:
        if not _has_version(listing):
            pytest.skip("its records are listed only")
        for shape in _shapes(listing):
            planner.plan(compose_one(listing, shape), {"id": KEY}, caller)

    def test_every_shape_of_a_page(self, planner: Planner, listing: Listing, caller: Caller) -> None:
        for shape in _shapes(listing):
            plan = compose_page(listing, ListRequest(shape=shape))

            planner.plan(plan.statement, plan.parameters, caller)

    def test_every_sort_on_its_first_and_later_pages(self, planner: Planner, listing: Listing, caller: Caller) -> None:
        for request in _sorted_requests(listing):
            plan = compose_page(listing, request)

            planner.plan(plan.statement, plan.parameters, caller)

    def test_every_filter_with_its_counts(self, planner: Planner, listing: Listing, caller: Caller) -> None:
        for field in listing.fields:
            for operator in field.operators:
                request = ListRequest(filters=(Filter(field.name, operator, _operand(field, operator)),))
                for compose in (compose_page, compose_count, compose_estimate):
                    plan = compose(listing, request)

                    planner.plan(plan.statement, plan.parameters, caller)

    def test_the_search(self, planner: Planner, listing: Listing, caller: Caller) -> None:
        if listing.search is None:
            pytest.skip("the listing has no search")
        plan = compose_page(listing, ListRequest(query="glycerol"))

        planner.plan(plan.statement, plan.parameters, caller)


@pytest.mark.parametrize("listing", [item for item in LISTINGS if item.name in READERS], ids=lambda item: item.name)
def test_what_is_for_users_is_not_for_anon(planner: Planner, listing: Listing) -> None:
    plan = compose_page(listing, ListRequest())

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        planner.plan(plan.statement, plan.parameters, ANON)


def test_no_two_things_that_a_record_shows_are_called_alike() -> None:
    for listing in LISTINGS:
        names = names_of(listing)

        assert len(set(names)) == len(names), listing.name
    assert set(INCLUSIONS) <= set(LISTINGS)


def test_what_a_record_shows_of_others_is_what_their_list_within_it_has() -> None:
    for listing, inclusions in INCLUSIONS.items():
        for item in inclusions:
            if isinstance(item, Many):
                assert SCOPED[item.scope] is item.listing
                assert f"{item.scope.parent}s" == listing.name


def test_every_scope_has_its_listing() -> None:
    assert set(_found(Scope)) == set(SCOPED)


@pytest.mark.parametrize(
    ("scope", "listing", "caller"),
    [
        pytest.param(scope, listing, caller, id=f"{listing.name}-{scope.parent}-{caller.role}")
        for scope, listing in WITHIN.items()
        for caller in (USER, SERVICE)
        if caller in READERS.get(listing.name, (USER, SERVICE))
    ],
)
def test_every_page_and_record_within_a_parent(
    planner: Planner, scope: Scope, listing: Listing, caller: Caller
) -> None:
    within = (scope, KEY)
    filters = tuple(
        Filter(field.name, operator, _operand(field, operator))
        for field in listing.fields
        for operator in field.operators
    )
    requests = [ListRequest(filters=(item,), within=within) for item in filters]
    requests += [replace(request, within=within) for request in _sorted_requests(listing)]
    for request in requests:
        for compose in (compose_page, compose_count, compose_estimate):
            plan = compose(listing, request)

            planner.plan(plan.statement, plan.parameters, caller)
    for shape in _shapes(listing) if _has_version(listing) else ():
        planner.plan(compose_one(listing, shape, scope), {"id": KEY, "parent": KEY}, caller)
    planner.plan(scope.find, {"parent": KEY}, caller)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)
def test_an_estimate_counts_rows_that_the_policies_let_through_and_stops_at_the_cap(listing: Listing) -> None:
    plan = compose_estimate(listing, ListRequest())

    assert plan.statement.startswith("SELECT count(*) FROM (SELECT FROM ")
    assert plan.parameters["cap"] == ESTIMATE_CAP


def _has_version(listing: Listing) -> bool:
    return listing.record_version is not None or "version" in listing.by_name


def _shapes(listing: Listing) -> list[Shape]:
    inclusions = inclusions_of(listing)
    return [
        *(Shape(detail, inclusions=some) for detail in Detail for some in ((), inclusions)),
        *(Shape(only=(name,)) for name in listing.shown),
        *(Shape(only=(item.name,), inclusions=(item,)) for item in inclusions),
    ]


def _sorted_requests(listing: Listing) -> list[ListRequest]:
    """Return pages by each sort: the first, one behind a value, and one behind a null where there are nulls."""
    requests = []
    for name in listing.sortable:
        field = listing.by_name[name]
        for descending in (False, True):
            order = listing.complete_order((Sort(name, descending),))
            rest = tuple(KEYS[listing.by_name[sort.name].kind] for sort in order[1:])
            afters: list[tuple[str | None, ...] | None] = [None, (KEYS[field.kind], *rest)]
            if field.nullable:
                afters.append((None, *rest))
            requests += [ListRequest(order=order, after=after) for after in afters]
    return requests


def _operand(field: Field, operator: str) -> object:
    if operator == "isnull":
        return True
    value = VALUES[field.kind]
    return {"in": [value, value], "range": (value, value)}.get(operator, value)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _read_whole(nodes: Iterable[dict[str, Any]]) -> list[str]:
    return [n["Relation Name"] for n in nodes if n["Node Type"] == "Seq Scan" and n["Relation Name"] == "molecules"]


MIDDLE_SQL: Final = """
SELECT m.{}::text, m.id::text
FROM molecules AS m
WHERE m.{} IS NOT NULL
ORDER BY m.{}, m.id
OFFSET (SELECT count({}) / 2 FROM molecules)
LIMIT 1
"""
POLYMER_SQL: Final = """
SELECT NULL, id::text FROM molecules WHERE kind = 'polymer' ORDER BY id OFFSET 1000 LIMIT 1
"""


@pytest.mark.parametrize("caller", [ANON, USER], ids=["anon", "user"])
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("name", MOLECULES.sortable)
def test_each_page_of_molecules_is_read_from_an_index_in_order(
    planner: Planner,
    name: str,
    descending: bool,  # noqa: FBT001 - one of two
    caller: Caller,
) -> None:
    order = MOLECULES.complete_order((Sort(name, descending),))
    afters = [None, planner.row(MIDDLE_SQL.replace("{}", name))[: len(order)]]
    if MOLECULES.by_name[name].nullable:
        afters.append(planner.row(POLYMER_SQL))

    for after in afters:
        plan = compose_page(MOLECULES, ListRequest(order=order, after=after))
        nodes = list(_nodes(planner.plan(plan.statement, plan.parameters, caller)))

        scans = [node["Node Type"] for node in nodes if node.get("Relation Name") == "molecules"]
        assert scans
        assert set(scans) <= {"Index Scan", "Index Only Scan"}, after
        assert [node for node in nodes if node["Node Type"] == "Sort"] == [], after
        # Ties of a unique index need no order; what leads must come from the index.
        for node in nodes:
            if node["Node Type"] == "Incremental Sort":
                assert [key.partition(".")[2] for key in node["Presorted Key"]] == [name]


def test_anon_reads_the_newest_from_the_index_of_public_molecules(planner: Planner) -> None:
    plan = compose_page(MOLECULES, ListRequest())

    nodes = _nodes(planner.plan(plan.statement, plan.parameters, ANON))

    assert "molecules_created_at_public_idx" in {node.get("Index Name") for node in nodes}


@pytest.mark.parametrize("caller", [ANON, USER], ids=["anon", "user"])
def test_one_molecule_is_read_by_its_key(planner: Planner, caller: Caller) -> None:
    nodes = _nodes(planner.plan(compose_one(MOLECULES, Shape(Detail.FULL)), {"id": KEY}, caller))

    assert "molecules_pkey" in {node.get("Index Name") for node in nodes}


@pytest.mark.parametrize("caller", [ANON, USER], ids=["anon", "user"])
@pytest.mark.parametrize(
    ("field", "index"),
    [
        ("inchikey", "molecules_inchikey"),
        ("name", "molecules_name_idx"),
        ("parent_inchikey", "molecules_parent_inchikey_idx"),
    ],
)
def test_behind_the_policies_equality_still_uses_its_index(
    planner: Planner, caller: Caller, field: str, index: str
) -> None:
    plan = compose_count(MOLECULES, ListRequest(filters=(Filter(field, "exact", "text"),)))

    nodes = list(_nodes(planner.plan(plan.statement, plan.parameters, caller)))

    assert [node for node in nodes if node.get("Index Name", "").startswith(index)]
    assert [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "molecules"] == []


@pytest.mark.parametrize("compose", [compose_page, compose_count, compose_estimate])
def test_a_projects_molecules_are_found_by_indexes(planner: Planner, compose: Callable[..., Plan]) -> None:
    narrowed = compose(MOLECULES, ListRequest(order=(Sort("name"),), within=(MOLECULES_OF_PROJECT, KEY)))
    # No index helps here, and none holds all that is asked.
    whole = compose_count(MOLECULES, ListRequest(filters=(Filter("kind", "exact", "molecule"),)))

    nodes = list(_nodes(planner.plan(narrowed.statement, narrowed.parameters, USER)))

    assert _read_whole(_nodes(planner.plan(whole.statement, whole.parameters, USER))) == ["molecules"]
    assert _read_whole(nodes) == []
    assert {"molecules_project_id_idx", "molecules_pkey"} <= {node.get("Index Name") for node in nodes}


@pytest.mark.parametrize("inclusions", [(), INCLUSIONS[MOLECULES]], ids=["by itself", "with all that hangs on it"])
def test_policies_ask_for_the_callers_keys_once_a_statement(
    planner: Planner, inclusions: tuple[Inclusion, ...]
) -> None:
    plan = compose_page(MOLECULES, ListRequest(Shape(inclusions=inclusions)))

    nodes = list(_nodes(planner.plan(plan.statement, plan.parameters, USER)))

    asking = [node for node in nodes if node.get("Relation Name") == "user_keys"]
    assert asking
    assert {node.get("Parent Relationship") for node in asking} == {"InitPlan"}
    assert [node for node in nodes if "my_keys" in str(node.get("Filter", "")) + str(node.get("Output", ""))] == []
