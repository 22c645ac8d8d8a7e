"""100,000 real molecules that the caller may see, and private ones of others in between.

The structures are ChEMBL's and PubChem's, from the shared data sets; their identifiers there are their
names. They are loaded once, with COPY, into a cluster of their own that is kept for the next run. One
row in ten belongs to somebody else, so that row-level security has something to leave out.

An id is a version 7 UUID whose time is its row's own and whose tail is fixed. That lets pgbench, whose
variables are numbers, ask for one row at random with the statement that everybody else sends.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from rdkit import Chem, RDLogger

from app.science.descriptors import descriptors, fingerprint, formula, molar_mass_g_mol

VISIBLE_MOLECULES: Final = 100_000
MOLECULES: Final = 111_111
"""With one in ten of somebody else's, 100,000 are left."""
CANDIDATES: Final = 112_000
STRUCTURES_FILE: Final = Path("scale") / "combined_unique_825k.tsv.gz"

CALLER: Final = UUID("7f8d4c1e-94a5-4c0e-8f65-2b9a6d1c0e11")
OTHERS: Final = tuple(UUID(int=CALLER.int + number) for number in range(1, 21))
FIRST_CREATED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
STEP: Final = timedelta(seconds=60)
ID_TAIL: Final = "70008000000000000000"

COUNT_SQL: Final = "SELECT count(*) FROM public.molecules"
ADD_PROFILES_SQL: Final = "INSERT INTO public.user_profiles (id) SELECT unnest(%(ids)s::uuid[])"
ADD_SOURCE_SQL: Final = """
INSERT INTO public.data_sources (name, release, licence)
VALUES ('benchmark structures', '825k', 'mixed, see the shared data sets')
RETURNING id
"""
COPY_MOLECULES_SQL: Final = """
COPY public.molecules (
    id, name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors,
    fingerprint, is_public, created_by, data_source_id, source_record, created_at, updated_at
) FROM STDIN
"""
COPY_IDENTIFIERS_SQL: Final = "COPY public.molecule_identifiers (molecule_id, source, kind, external_id) FROM STDIN"
VACUUM_SQL: Final = "VACUUM (ANALYZE) public.molecules, public.molecule_identifiers"


class DataError(Exception):
    """The real data is absent, or is not what it was."""


@dataclass(frozen=True, slots=True)
class Described:
    """A real molecule with all that the service computes from a structure but for its parent."""

    inchikey: str
    source: str
    source_record: str
    canonical_smiles: str
    inchi: str
    formula: str
    molar_mass_g_mol: float
    descriptors: str
    fingerprint: str


def load(admin_url: str, shared: Path, say: Callable[[str], None]) -> None:
    """Fill the database where it is empty, and leave its tables vacuumed and analysed.

    Raises:
        DataError: The shared data is not there, or the database holds something else.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        present = connection.execute(COUNT_SQL).fetchone()
        count = present[0] if present else 0
        if count not in {0, MOLECULES}:
            msg = f"the benchmark's database holds {count:,} molecules instead of {MOLECULES:,}; remove its folder"
            raise DataError(msg)
        if count == 0:
            candidates = read_structures(require_structures(shared))
            say(f"computing and loading {MOLECULES:,} molecules, once (about two minutes)")
            with connection.transaction():
                _copy(connection, list(itertools.islice(describe_all(candidates), MOLECULES)))
            connection.execute(VACUUM_SQL)


def molecule_id(number: int) -> UUID:
    """Return the id of the row with this number."""
    milliseconds = (created_at(number) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(f"{milliseconds:012x}{ID_TAIL}")


def created_at(number: int) -> datetime:
    """Return when the row with this number was made."""
    return FIRST_CREATED_AT + number * STEP


def owner(number: int) -> UUID:
    """Return whose row it is: one in ten is somebody else's."""
    return OTHERS[number // 10 % len(OTHERS)] if number % 10 == 9 else CALLER  # noqa: PLR2004 (one in ten)


def is_public(number: int) -> bool:
    """Return whether everybody sees the row; of the caller's own, one in a hundred is private."""
    return number % 10 != 9 and number % 100 != 5  # noqa: PLR2004 (see the docstrings)


def require_structures(shared: Path) -> Path:
    """Return the file of real structures.

    Raises:
        DataError: It is not there.
    """
    file = shared / STRUCTURES_FILE
    if not file.is_file():
        msg = f"the benchmark needs the real structures of {file}; CRYOPROTECT_SHARED names the folder above `scale`"
        raise DataError(msg)
    return file


def read_structures(file: Path) -> list[tuple[str, str, str, str]]:
    """Return SMILES, InChIKey, source and record, in an order that mixes the sources."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in itertools.islice(lines, 1, CANDIDATES + 1)]
    random.Random(len(rows)).shuffle(rows)  # noqa: S311 (an order, not a secret)
    return [(smiles, inchikey, source, record) for smiles, inchikey, source, record in rows]


def describe_all(candidates: Sequence[tuple[str, str, str, str]]) -> Iterator[Described]:
    """Give the molecules that RDKit and InChI read, in order, computed on all cores."""
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        for described in processes.map(describe, candidates, chunksize=500):
            if described is not None:
                yield described


def describe(candidate: tuple[str, str, str, str]) -> Described | None:
    """Return one molecule with its descriptors; None where its structure is not read."""
    smiles, inchikey, source, record = candidate
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule: Chem.Mol | None = Chem.MolFromSmiles(smiles)
    inchi = Chem.MolToInchi(molecule) if molecule is not None else ""  # type: ignore[no-untyped-call]
    if molecule is None or not inchi:
        return None
    return Described(
        inchikey=inchikey,
        source=source,
        source_record=record,
        canonical_smiles=Chem.MolToSmiles(molecule),
        inchi=inchi,
        formula=formula(molecule),
        molar_mass_g_mol=molar_mass_g_mol(molecule),
        descriptors=json.dumps(descriptors(molecule)),
        fingerprint=fingerprint(molecule),
    )


def _copy(connection: psycopg.Connection, molecules: Sequence[Described]) -> None:
    if len(molecules) != MOLECULES:
        msg = f"only {len(molecules):,} of the structures could be read; {MOLECULES:,} are needed"
        raise DataError(msg)
    connection.execute(ADD_PROFILES_SQL, {"ids": [CALLER, *OTHERS]})
    source = connection.execute(ADD_SOURCE_SQL).fetchone()
    with connection.cursor() as cursor, cursor.copy(COPY_MOLECULES_SQL) as copy:
        for number, molecule in enumerate(molecules):
            copy.write_row(_row(number, molecule, source[0] if source else None))
    with connection.cursor() as cursor, cursor.copy(COPY_IDENTIFIERS_SQL) as copy:
        for number, molecule in enumerate(molecules):
            kind = ("chembl", "chembl_id") if molecule.source_record.startswith("CHEMBL") else ("benchmark", "record")
            copy.write_row((molecule_id(number), *kind, molecule.source_record))


def _row(number: int, molecule: Described, source_id: UUID | None) -> tuple[object, ...]:
    return (
        molecule_id(number),
        molecule.source_record,
        molecule.canonical_smiles,
        molecule.inchi,
        molecule.inchikey,
        molecule.inchikey,
        molecule.formula,
        molecule.molar_mass_g_mol,
        molecule.descriptors,
        molecule.fingerprint,
        is_public(number),
        owner(number),
        source_id,
        molecule.source_record,
        created_at(number),
        created_at(number),
    )
