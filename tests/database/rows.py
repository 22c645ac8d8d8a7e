"""Rows as tests of the database's own rules store them, and what becomes of two writers who meet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from app.domain.callers import ANON, Caller
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import acting

Row = tuple[str, dict[str, Any]]
IS_BLOCKED_SQL = "SELECT cardinality(pg_blocking_pids(%s)) > 0"


def insert(table: str, values: Mapping[str, object]) -> sql.Composed:
    """Return the statement that inserts a row of these columns, with their names as placeholders."""
    return sql.SQL("INSERT INTO public.{} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )


def add(admin: psycopg.Connection, table: str, **values: object) -> None:
    """Store a row."""
    admin.execute(insert(table, values), values)


def add_molecule(admin: psycopg.Connection, name: str = "glycerol", **values: Any) -> UUID:
    """Store a molecule with an identifier and a property, and return its id."""
    structure = factories.known_structure(name)
    molecule_id = uuid4()
    columns = ("canonical_smiles", "inchi", "inchikey", "parent_inchikey", "formula", "molar_mass_g_mol")
    add(admin, "molecules", id=molecule_id, name=name, **{c: getattr(structure, c) for c in columns}, **values)
    add(admin, "molecule_identifiers", molecule_id=molecule_id, source="name", kind="synonym", external_id=name)
    add(
        admin,
        "molecular_properties",
        molecule_id=molecule_id,
        property_type="density",
        numeric_value=1261,
        unit="kg/m3",
    )
    return molecule_id


def component(mixture: UUID, molecule: UUID, amount: float = 2.3, unit: str = "mol/L", position: int = 0) -> Row:
    """Return a component of a mixture."""
    values: dict[str, object] = {
        "mixture_id": mixture,
        "molecule_id": molecule,
        "amount": amount,
        "unit": unit,
        "position": position,
    }
    return "mixture_components", values


def add_mixture(admin: psycopg.Connection, *molecules: UUID, **values: Any) -> UUID:
    """Store a mixture of these molecules and return its id."""
    mixture_id = uuid4()
    with admin.transaction():
        add(admin, "mixtures", id=mixture_id, name="mixture", **values)
        for molecule in molecules:
            table, columns = component(mixture_id, molecule)
            add(admin, table, **columns)
    return mixture_id


def result(experiment: UUID, **changes: object) -> Row:
    """Return a result of an experiment."""
    values: dict[str, object] = {
        "experiment_id": experiment,
        "position": 0,
        "property_type": "cell_survival",
        "value": 0.9,
        "unit": "1",
    }
    return "experiment_results", values | changes


def failure(experiment: UUID, reason: str = "ice") -> Row:
    """Return a failure of an experiment."""
    return "experiment_failures", {"experiment_id": experiment, "reason": reason, "position": 0}


def add_experiment(
    admin: psycopg.Connection, involved: Sequence[UUID] = (), outcome: str = "fail", **values: Any
) -> UUID:
    """Store an experiment with a result and a failure reason, and return its id."""
    experiment_id = uuid4()
    with admin.transaction():
        add(admin, "experiments", id=experiment_id, outcome=outcome, **values)
        for table, columns in (result(experiment_id), failure(experiment_id)):
            add(admin, table, **columns)
        for molecule in involved:
            add(admin, "molecule_experiments", experiment_id=experiment_id, molecule_id=molecule)
    return experiment_id


def broken_rule(admin: psycopg.Connection, *rows: Row) -> str | None:
    """Return the constraint that these rows break together, None when they break none; nothing is kept."""
    statements = [(insert(table, values), values) for table, values in rows]
    return broken_by(admin, *statements)


def broken_by(
    admin: psycopg.Connection, *statements: tuple[str | sql.Composed, Mapping[str, object] | Sequence[object]]
) -> str | None:
    """Return the constraint that these statements break when their transaction ends; nothing is kept."""
    try:
        with admin.transaction(force_rollback=True):
            for statement, values in statements:
                admin.execute(_sendable(statement), values)
            admin.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.errors.IntegrityError as error:
        return error.diag.constraint_name
    return None


@dataclass(frozen=True, slots=True)
class Scene:
    """A project of one team with a member of each role, a project of another team with likewise, and a stranger."""

    home: UUID
    home_team: UUID
    guest: UUID
    guest_team: UUID
    members: dict[str, Caller]
    """By role: `owner`, `editor`, `viewer` at home, `guest_owner` and so on in the other team, `stranger`."""


def add_scene(admin: psycopg.Connection) -> Scene:
    """Store two teams, each with a project, and return them."""
    scene = Scene(uuid4(), uuid4(), uuid4(), uuid4(), {"stranger": _profile(admin)})
    for prefix, team, project in (("", scene.home_team, scene.home), ("guest_", scene.guest_team, scene.guest)):
        add(admin, "teams", id=team, name=f"{prefix}team")
        add(admin, "projects", id=project, team_id=team, name="project")
        for role in ("owner", "editor", "viewer"):
            member = scene.members[prefix + role] = _profile(admin)
            add(admin, "team_members", team_id=team, user_id=member.user_id, role=role)
    return scene


def _profile(admin: psycopg.Connection) -> Caller:
    caller = factories.user()
    add(admin, "user_profiles", id=caller.user_id)
    return caller


def readers(urls: DatabaseUrls, scene: Scene, table: str, column: str, key: UUID) -> set[str]:
    """Return which members of the scene, anon among them, see a row of the table by its column."""
    statement = sql.SQL("SELECT FROM public.{} WHERE {} = %s").format(sql.Identifier(table), sql.Identifier(column))
    found = set()
    for name, caller in (scene.members | {"anon": ANON}).items():
        with acting(urls, caller) as member:
            if member.attempt(statement, (key,)):
                found.add(name)
    return found


def done_together(
    urls: DatabaseUrls,
    first: Sequence[tuple[str | sql.Composed, Mapping[str, object]]],
    second: Sequence[tuple[str | sql.Composed, Mapping[str, object]]],
) -> tuple[str | None, str | None]:
    """Return what refused each of two writers, None where nothing did: the second starts before the first commits."""
    with _writer(urls) as one, _writer(urls) as other, ThreadPoolExecutor(1) as threads:
        for statement, values in first:
            one.execute(_sendable(statement), values)
        later = threads.submit(_commit, other, second)
        _wait(urls, later, other.info.backend_pid)
        return _commit(one, ()), later.result(20)


@contextmanager
def _writer(urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    with psycopg.connect(urls.admin) as connection:
        yield connection
        connection.rollback()


def _commit(
    connection: psycopg.Connection, statements: Sequence[tuple[str | sql.Composed, Mapping[str, object]]]
) -> str | None:
    try:
        for statement, values in statements:
            connection.execute(_sendable(statement), values)
        connection.commit()
    except psycopg.Error as error:
        connection.rollback()
        return error.diag.constraint_name or error.sqlstate
    return None


def _wait(urls: DatabaseUrls, later: Future[str | None], backend: int) -> None:
    """Wait until the second writer is done, or waits for the first."""
    until = time.monotonic() + 20
    with psycopg.connect(urls.admin, autocommit=True) as watcher:
        while not later.done() and time.monotonic() < until:
            if watcher.execute(IS_BLOCKED_SQL, (backend,)).fetchone() == (True,):
                return
            time.sleep(0.005)


def _sendable(statement: str | sql.Composed) -> bytes | sql.Composed:
    return statement.encode() if isinstance(statement, str) else statement
