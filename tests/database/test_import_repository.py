"""Runs, their leases and their pages, as the database keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from app.domain.callers import SERVICE
from app.domain.molecules import Identifier, NewMolecule, PropertyValue
from app.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from database.repositories import imports as module
from database.repositories.imports import (
    Counts,
    ImportRepository,
    Lease,
    LeaseLostError,
    NewPage,
    SetBackError,
    StoredPage,
)
from database.repositories.molecules import MoleculeRepository
from database.repositories.provenance import ImportFault, ProvenanceRepository, SourceStatement
from database.session import Database
from tests import factories

FILE: dict[str, object] = {"source": "file", "path": "/a", "columns": {}}
CID = Identifier("pubchem", "cid", "753")


@pytest.fixture
def source_id(database: Database) -> UUID:
    with database.transaction(SERVICE) as session:
        return ProvenanceRepository(session).ensure_source(SourceStatement("a file"))


@pytest.fixture
def run_id(database: Database, source_id: UUID) -> UUID:
    return created(database, source_id)[0]


def created(database: Database, source_id: UUID, sha256: str | None = None, **parameters: object) -> tuple[UUID, bool]:
    with database.transaction(SERVICE) as session:
        return ImportRepository(session).create(source_id, FILE | parameters, sha256)


def taken(database: Database, run_id: UUID) -> Lease | None:
    with database.transaction(SERVICE) as session:
        return ImportRepository(session).take_lease(run_id)


def held(database: Database, run_id: UUID) -> Lease:
    lease = taken(database, run_id)
    assert lease is not None
    return lease


def lapse(admin: psycopg.Connection) -> None:
    admin.execute("UPDATE import_runs SET lease_until = clock_timestamp()")


def load(database: Database, lease: Lease, page: NewPage) -> StoredPage:
    with database.transaction(SERVICE) as session:
        return ImportRepository(session).load_page(lease, page)


def behind(lease: Lease, upto: int) -> Lease:
    """Return the lease of a worker that has stored a page up to there."""
    return replace(lease, checkpoint={"upto": upto})


def do(database: Database, work: Callable[[ImportRepository], object]) -> Any:
    with database.transaction(SERVICE) as session:
        return work(ImportRepository(session))


def page_of(*molecules: NewMolecule, upto: int = 10, faults: tuple[ImportFault, ...] = ()) -> NewPage:
    return NewPage(list(enumerate(molecules, start=1)), faults, {"upto": upto}, 0.5, 2.0)


def test_a_file_is_one_run_whoever_brings_it_and_wherever_it_lies(database: Database, source_id: UUID) -> None:
    first, is_new = created(database, source_id, "a" * 64)
    again, again_is_new = created(database, source_id, "a" * 64, path="/elsewhere")
    mapped, mapped_is_new = created(database, source_id, "a" * 64, columns={"smiles": "x"})
    other, other_is_new = created(database, source_id, "b" * 64)

    assert (is_new, again_is_new, mapped_is_new, other_is_new) == (True, False, True, True)
    assert first == again
    assert len({first, mapped, other}) == 3
    assert do(database, lambda imports: imports.get(first)).parameters["path"] == "/elsewhere"


def test_what_is_no_file_is_a_run_each_time(database: Database, source_id: UUID) -> None:
    assert created(database, source_id)[0] != created(database, source_id)[0]


def test_one_worker_has_the_lease_until_it_lapses(database: Database, admin: psycopg.Connection, run_id: UUID) -> None:
    first = held(database, run_id)
    assert taken(database, run_id) is None

    lapse(admin)
    second = held(database, run_id)

    assert second.fence == first.fence + 1
    with pytest.raises(LeaseLostError):
        do(database, lambda imports: imports.renew(first))
    assert do(database, lambda imports: imports.renew(second)) is False


def test_a_lease_lasts_ten_seconds_from_its_renewal(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    lease = held(database, run_id)
    admin.execute("UPDATE import_runs SET lease_until = clock_timestamp() + interval '1 second'")

    do(database, lambda imports: imports.renew(lease))

    left = do(database, lambda imports: imports.get(run_id)).lease_left_s
    assert 8 < left <= 10


def test_a_worker_that_gives_up_leaves_the_run_to_the_next_at_once(database: Database, run_id: UUID) -> None:
    lease = held(database, run_id)

    do(database, lambda imports: imports.release(lease))

    assert held(database, run_id).fence == lease.fence + 1


def test_a_page_is_public_rows_that_point_to_the_run(
    database: Database, admin: psycopg.Connection, run_id: UUID, source_id: UUID
) -> None:
    lease = held(database, run_id)
    glycerol = replace(
        factories.new_molecule(identifiers=(CID,)),
        source_record="CID 753",
        properties=(PropertyValue("density", numeric_value=1261.0, unit="kg/m3"),),
    )

    stored = load(database, lease, page_of(glycerol, faults=(ImportFault(2, "x", "no structure"),)))

    assert stored.totals == Counts(added=1, refused=1)
    assert admin.execute(
        """
        SELECT id, name, kind, inchikey, is_public, created_by, project_id, data_source_id, source_record, import_run_id
        FROM molecules
        """
    ).fetchall() == [
        (
            stored.owners[1],
            *("glycerol", "molecule", "PEDCQBHIVMGVHV-UHFFFAOYSA-N", True, None, None),
            *(source_id, "CID 753", run_id),
        )
    ]
    assert admin.execute(
        "SELECT external_id, i.import_run_id, numeric_value, p.import_run_id, i.is_public, p.is_public "
        "FROM molecule_identifiers AS i JOIN molecular_properties AS p USING (molecule_id)"
    ).fetchall() == [("753", run_id, 1261.0, run_id, True, True)]
    run = do(database, lambda imports: imports.get(run_id))
    assert (run.counts, run.checkpoint, run.done_fraction, run.working_s) == (
        Counts(added=1, refused=1),
        {"upto": 10},
        0.5,
        2.0,
    )
    assert do(database, lambda imports: imports.errors(run_id, 10)) == [ImportFault(2, "x", "no structure")]


def test_a_page_is_stored_as_single_creates_would_store_it(database: Database, admin: psycopg.Connection) -> None:
    names = ("glycerol", "ethylene glycol", "dimethyl sulfoxide")
    columns = """
        name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors::text,
        fingerprint::text, is_public, project_id, created_by, acl, data_source_id, source_record, version
    """
    rows: list[list[tuple[Any, ...]]] = []
    for imports in (False, True):
        with database.transaction(SERVICE) as session:
            source = ProvenanceRepository(session).ensure_source(SourceStatement("a file"))
            new = [factories.new_molecule(name, data_source_id=source) for name in names]
            if imports:
                run, _ = ImportRepository(session).create(source, FILE)
                lease = ImportRepository(session).take_lease(run)
                assert lease
                ImportRepository(session).load_page(lease, page_of(*new))
            else:
                for molecule in new:
                    MoleculeRepository(session).add(molecule)
            rows.append(session.rows(f"SELECT {columns} FROM public.molecules ORDER BY inchikey", {}))  # noqa: S608
            session.rows("DELETE FROM public.molecules", {})

    assert len(rows[0]) == 3
    assert rows[0] == rows[1]


def test_the_audit_log_gets_one_row_a_run_and_page_and_table(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    lease = held(database, run_id)
    admin.execute("SET session_replication_role = replica")
    admin.execute("TRUNCATE audit_log")

    for upto, name in enumerate(("glycerol", "ethylene glycol")):
        page = page_of(factories.new_molecule(name, identifiers=(CID,)), upto=upto)
        load(database, behind(lease, upto - 1) if upto else lease, page)
        do(database, lambda imports: imports.renew(lease))

    assert admin.execute("SELECT table_name, row_count, import_run_id FROM audit_log ORDER BY id").fetchall() == [
        (table, 1, run_id) for _ in range(2) for table in ("molecules", "molecule_identifiers")
    ]


def test_what_exists_gains_what_is_new_to_it(database: Database, admin: psycopg.Connection, run_id: UUID) -> None:
    with database.transaction(SERVICE) as session:
        known = MoleculeRepository(session).add(factories.new_molecule(identifiers=(CID,)))
    lease = held(database, run_id)
    chembl = Identifier("chembl", "chembl_id", "CHEMBL692")

    same = load(database, lease, page_of(factories.new_molecule(identifiers=(CID,)), upto=1))
    more = load(database, behind(lease, 1), page_of(factories.new_molecule(identifiers=(CID, chembl)), upto=2))

    assert same.owners == more.owners == {1: known}
    assert more.totals == Counts(existing=2)
    assert admin.execute("SELECT version FROM molecules").fetchall() == [(2,)]
    assert admin.execute(
        "SELECT external_id, import_run_id FROM molecule_identifiers ORDER BY external_id"
    ).fetchall() == [("753", None), ("CHEMBL692", run_id)]


def test_a_private_row_of_somebody_is_neither_taken_nor_told(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    with database.transaction(factories.user()) as session:
        private = MoleculeRepository(session).add(factories.new_molecule())

    stored = load(database, held(database, run_id), page_of(factories.new_molecule(identifiers=(CID,))))

    assert stored.totals == Counts(added=1)
    assert stored.owners[1] != private
    assert admin.execute("SELECT count(*) FROM molecule_identifiers WHERE molecule_id = %s", (private,)).fetchone() == (
        0,
    )


def test_a_structure_twice_in_a_page_is_one_row_with_both_numbers(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    first = replace(factories.new_molecule(identifiers=(CID,)), name="first")
    second = replace(
        factories.new_molecule(identifiers=(Identifier("chembl", "chembl_id", "CHEMBL692"),)), name="second"
    )

    stored = load(database, held(database, run_id), page_of(first, second))

    assert stored.totals == Counts(added=1, existing=1)
    assert admin.execute("SELECT name FROM molecules").fetchall() == [("first",)]
    assert admin.execute("SELECT count(*) FROM molecule_identifiers").fetchone() == (2,)


def test_a_record_that_breaks_a_constraint_takes_no_other_with_it(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    good = [factories.new_molecule(name) for name in ("glycerol", "ethylene glycol", "propylene glycol")]
    bad = replace(factories.new_molecule("dimethyl sulfoxide"), name="x" * 501)
    worse = replace(factories.new_molecule("dimethyl sulfoxide"), source_record="x" * 201)

    stored = load(database, held(database, run_id), page_of(good[0], bad, good[1], worse, good[2]))

    assert stored.totals == Counts(added=3, refused=2)
    assert sorted(stored.owners) == [1, 3, 5]
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (3,)
    assert admin.execute("SELECT record_index, reason FROM import_errors ORDER BY record_index").fetchall() == [
        (2, "a name has 1 to 500 characters"),
        (4, "a source record has at most 200 characters"),
    ]


def test_a_worker_that_was_overtaken_stores_nothing(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    stalled = held(database, run_id)
    lapse(admin)
    held(database, run_id)

    with pytest.raises(LeaseLostError):
        load(database, stalled, page_of(factories.new_molecule()))
    ends: tuple[Callable[[ImportRepository], object], ...] = (
        lambda imports: imports.finish(stalled),
        lambda imports: imports.fail(stalled, "x"),
        lambda imports: imports.cancel(stalled),
    )
    for end in ends:
        with pytest.raises(LeaseLostError):
            do(database, end)
    do(database, lambda imports: imports.release(stalled))

    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (0,)
    assert taken(database, run_id) is None


def test_a_page_whose_answer_was_lost_is_not_stored_twice(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    lease = held(database, run_id)
    page = page_of(factories.new_molecule(), faults=(ImportFault(2, None, "bad"),))

    first = load(database, lease, page)
    again = load(database, lease, page)

    assert first.totals == again.totals == Counts(added=1, refused=1)
    assert admin.execute("SELECT count(*) FROM import_errors").fetchone() == (1,)


def test_a_page_behind_one_that_the_database_has_lost_is_not_stored_and_ends_no_run(
    database: Database, admin: psycopg.Connection, run_id: UUID
) -> None:
    lease = held(database, run_id)
    load(database, lease, page_of(factories.new_molecule("glycerol"), upto=1))
    load(database, behind(lease, 1), page_of(factories.new_molecule("ethylene glycol"), upto=2))
    admin.execute("""UPDATE import_runs SET checkpoint = '{"upto": 1}'""")

    with pytest.raises(SetBackError):
        load(database, behind(lease, 2), page_of(factories.new_molecule("methanol"), upto=3))
    with pytest.raises(SetBackError):
        do(database, lambda imports: imports.finish(behind(lease, 2)))

    assert do(database, lambda imports: imports.get(run_id)).state == "running"
    assert load(database, behind(lease, 1), page_of(factories.new_molecule("methanol"), upto=2)).totals.added == 3
    do(database, lambda imports: imports.finish(behind(lease, 2)))


def test_errors_are_kept_up_to_a_bound_and_counted_beyond(
    database: Database, monkeypatch: pytest.MonkeyPatch, run_id: UUID
) -> None:
    monkeypatch.setattr(module, "MAX_ERRORS_KEPT", 3)
    lease = held(database, run_id)

    for upto in (2, 4, 6):
        faults = tuple(ImportFault(upto + n, None, "bad") for n in range(2))
        load(database, lease, page_of(upto=upto, faults=faults))
        lease = behind(lease, upto)

    assert do(database, lambda imports: imports.get(run_id)).counts == Counts(refused=6)
    assert [fault.index for fault in do(database, lambda imports: imports.errors(run_id, 10))] == [2, 3, 4]


def test_cancelling_ends_a_waiting_run_at_once_and_a_running_one_after_its_page(
    database: Database, run_id: UUID, source_id: UUID
) -> None:
    waiting, _ = created(database, source_id)
    lease = held(database, run_id)

    assert do(database, lambda imports: imports.request_cancel(waiting)) == "cancelled"
    assert do(database, lambda imports: imports.request_cancel(run_id)) == "running"

    assert do(database, lambda imports: imports.renew(lease)) is True
    assert load(database, lease, page_of(factories.new_molecule())).cancel_requested
    do(database, lambda imports: imports.cancel(lease))
    run = do(database, lambda imports: imports.get(run_id))
    assert (run.state, run.counts) == ("cancelled", Counts(added=1))
    with pytest.raises(ConflictError, match="it is cancelled"):
        do(database, lambda imports: imports.request_cancel(run_id))


def test_what_failed_is_tried_again_from_its_checkpoint(database: Database, run_id: UUID) -> None:
    lease = held(database, run_id)
    load(database, lease, page_of(factories.new_molecule(), upto=7))
    do(database, lambda imports: imports.fail(lease, "the disk is full"))
    failed = do(database, lambda imports: imports.get(run_id))
    assert (failed.state, failed.failure) == ("failed", "the disk is full")
    assert taken(database, run_id) is None

    do(database, lambda imports: imports.retry(run_id))

    again = held(database, run_id)
    assert (again.checkpoint, again.counts, again.cancel_requested) == ({"upto": 7}, Counts(added=1), False)
    do(database, lambda imports: imports.finish(again))
    with pytest.raises(ConflictError, match="the import is finished"):
        do(database, lambda imports: imports.retry(run_id))


def test_a_run_that_is_not_there_is_not_found(database: Database) -> None:
    for work in (ImportRepository.get, ImportRepository.retry, ImportRepository.request_cancel):
        with pytest.raises(NotFoundError), database.transaction(SERVICE) as session:
            work(ImportRepository(session), uuid4())


def test_users_neither_see_nor_run_imports(database: Database, run_id: UUID) -> None:
    for work in (ImportRepository.get, ImportRepository.take_lease, ImportRepository.request_cancel):
        with pytest.raises(ForbiddenError), database.transaction(factories.user()) as session:
            work(ImportRepository(session), run_id)


@pytest.fixture
def stalled(database: Database, run_id: UUID) -> Iterator[tuple[Lease, Any]]:
    """Give a lease whose worker stands still in the middle of its page."""
    lease = held(database, run_id)
    opened = database.transaction(SERVICE)
    session = opened.__enter__()
    session.rows("SELECT set_config('idle_in_transaction_session_timeout', '300', true)", {})
    session.rows("SELECT FROM public.import_runs WHERE id = %(id)s FOR NO KEY UPDATE", {"id": run_id})
    yield lease, session
    with pytest.raises(UnavailableError):
        opened.__exit__(None, None, None)


def test_a_worker_that_stands_still_inside_a_page_holds_nobody_up(
    database: Database, admin: psycopg.Connection, run_id: UUID, stalled: tuple[Lease, Any]
) -> None:
    # The page's own limit is ten seconds; here it is three tenths of one.
    lease, _ = stalled
    admin.execute("SET lock_timeout = '5s'")

    lapse(admin)

    assert held(database, run_id).fence == lease.fence + 1


def test_a_page_limits_how_long_it_may_stand_still(database: Database, run_id: UUID) -> None:
    lease = held(database, run_id)
    with database.transaction(SERVICE) as session:
        ImportRepository(session).load_page(lease, page_of(factories.new_molecule()))
        limits = session.rows(
            "SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout')", {}
        )

    assert limits == [("10s", "1min")]
