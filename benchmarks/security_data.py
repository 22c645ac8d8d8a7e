"""Three databases of one kind and different size, for the price of row-level security.

Every molecule is in one of 200 projects of 50 teams, and half of them are public. The structures are those of
`benchmarks/dataset.py`, copied from its database; 800,000 are eight of each, under names and InChIKeys of their own.
Molecules and their parts are made set by set with the triggers off and the indexes dropped. Both come back as they
were, and what the triggers would have written is compared with what was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
from psycopg import sql

from benchmarks import dataset
from database import migrate
from database.urls import DatabaseUrls, database_urls

SIZES: Final = (10_000, 100_000, 800_000)
DISTINCT: Final = 100_000
TEAMS: Final = 50
PROJECTS: Final = 200
MEMBERS: Final = 5
"""People in each team, the caller not counted."""
CALLERS_TEAMS: Final = (3, 16, 29, 42)
TABLES: Final = ("molecules", "molecule_identifiers", "molecular_properties")
SAMPLE: Final = 1000

FIND_DATABASE_SQL: Final = """
SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %(name)s
"""
TRIGGERS_OFF_SQL: Final = "SET LOCAL session_replication_role = replica"
TRIGGERS_ON_SQL: Final = "SET LOCAL session_replication_role = origin"
# What keeps a constraint stays: a foreign key may need it.
INDEXES_SQL: Final = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index AS i
WHERE i.indrelid = ANY (%(tables)s::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)
ORDER BY 1
"""
STRUCTURES_SQL: Final = """
CREATE TEMPORARY TABLE structures (
    number integer PRIMARY KEY, name text, canonical_smiles text, inchi text, inchikey text, formula text,
    molar_mass_g_mol float8, descriptors jsonb, fingerprint bit(2048)
)
"""
COPY_OUT_SQL: Final = """
COPY (
    SELECT row_number() OVER (ORDER BY id) - 1, name, canonical_smiles, inchi, inchikey, formula, molar_mass_g_mol,
        descriptors, fingerprint
    FROM public.molecules
    ORDER BY id
    LIMIT {}
) TO STDOUT
"""
COPY_IN_SQL: Final = "COPY structures FROM STDIN"
ADD_PEOPLE_SQL: Final = """
INSERT INTO public.user_profiles (id)
SELECT md5('person ' || n)::uuid FROM generate_series(0, %(teams)s * %(members)s - 1) AS n
UNION ALL
SELECT %(caller)s
"""
ADD_TEAMS_SQL: Final = """
INSERT INTO public.teams (id, name) SELECT md5('team ' || n)::uuid, 'team ' || n
FROM generate_series(0, %(teams)s - 1) AS n
"""
ADD_MEMBERS_SQL: Final = """
INSERT INTO public.team_members (team_id, user_id, role)
SELECT md5('team ' || n %% %(teams)s)::uuid, md5('person ' || n)::uuid,
    CASE WHEN n < %(teams)s THEN 'owner' ELSE 'editor' END
FROM generate_series(0, %(teams)s * %(members)s - 1) AS n
UNION ALL
SELECT md5('team ' || n)::uuid, %(caller)s, 'viewer' FROM unnest(%(callers)s::int[]) AS n
"""
ADD_PROJECTS_SQL: Final = """
INSERT INTO public.projects (id, team_id, name)
SELECT md5('project ' || n)::uuid, md5('team ' || n %% %(teams)s)::uuid, 'project ' || n
FROM generate_series(0, %(projects)s - 1) AS n
"""
# A hash decides who sees a row, so that public and private ones lie mixed, as many hands leave them.
ADD_MOLECULES_SQL: Final = """
INSERT INTO public.molecules (
    id, name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors, fingerprint,
    is_public, project_id, created_by, acl, source_record, created_at, updated_at
)
SELECT (lpad(to_hex((extract(epoch FROM made.at) * 1000)::bigint), 12, '0') || %(tail)s)::uuid,
    CASE WHEN n < %(distinct)s THEN s.name ELSE s.name || ' ' || n / %(distinct)s END,
    s.canonical_smiles, s.inchi, made.inchikey, made.inchikey, s.formula, s.molar_mass_g_mol, s.descriptors,
    s.fingerprint, hashint4(n) %% 2 = 0, made.project_id, md5('person ' || n %% %(teams)s)::uuid,
    ARRAY[made.project_id], n::text, made.at, made.at
FROM generate_series(0, %(size)s - 1) AS n
JOIN structures AS s ON s.number = n %% %(distinct)s
CROSS JOIN LATERAL (
    SELECT %(first)s + n * interval '20 s' AS at,
        md5('project ' || n %% %(projects)s)::uuid AS project_id,
        chr(65 + (ascii(s.inchikey) - 65 + n / %(distinct)s) %% 26) || substr(s.inchikey, 2) AS inchikey
) AS made
ORDER BY n
"""
ADD_IDENTIFIERS_SQL: Final = """
INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id, is_public, acl, created_at)
SELECT m.id, 'benchmark', 'record_' || k, m.source_record, m.is_public, m.acl, m.created_at
FROM public.molecules AS m
CROSS JOIN LATERAL generate_series(1, 2 + m.source_record::int %% 2) AS k
ORDER BY m.id, k
"""
ADD_PROPERTY_TYPES_SQL: Final = """
INSERT INTO public.property_types (name, unit, value_kind, description)
VALUES ('benchmark_logp', '', 'numeric', 'computed'), ('benchmark_tpsa', 'A^2', 'numeric', 'computed'),
    ('benchmark_mass', 'g/mol', 'numeric', 'computed')
"""
ADD_PROPERTIES_SQL: Final = """
INSERT INTO public.molecular_properties (
    molecule_id, property_type, numeric_value, unit, method, is_public, acl, created_at
)
SELECT m.id, v.property_type, v.value, v.unit, 'RDKit', m.is_public, m.acl, m.created_at
FROM public.molecules AS m
CROSS JOIN LATERAL (
    VALUES (0, 'benchmark_logp', (m.descriptors ->> 'crippen_logp')::float8, ''),
        (0, 'benchmark_tpsa', (m.descriptors ->> 'tpsa_a2')::float8, 'A^2'),
        (1, 'benchmark_mass', m.molar_mass_g_mol, 'g/mol')
) AS v (third, property_type, value, unit)
WHERE v.third <= m.source_record::int %% 2
ORDER BY m.id
"""
# The triggers write again what they keep; a row that they change was loaded wrongly.
SAMPLE_SQL: Final = """
CREATE TEMPORARY TABLE sample (id uuid PRIMARY KEY, is_public boolean, acl uuid[]) ON COMMIT DROP
"""
DRAW_SAMPLE_SQL: Final = """
INSERT INTO sample
SELECT id, is_public, acl FROM public.molecules ORDER BY md5(id::text) LIMIT %(sample)s
"""
REPEAT_ACL_SQL: Final = "UPDATE public.molecules SET acl = '{}' WHERE id IN (SELECT id FROM sample)"
REPEAT_IDENTIFIERS_SQL: Final = """
UPDATE public.molecule_identifiers SET molecule_id = molecule_id, is_public = NOT is_public, acl = '{}'
WHERE molecule_id IN (SELECT id FROM sample)
"""
REPEAT_PROPERTIES_SQL: Final = """
UPDATE public.molecular_properties SET molecule_id = molecule_id, is_public = NOT is_public, acl = '{}'
WHERE molecule_id IN (SELECT id FROM sample)
"""
WRONG_ROWS_SQL: Final = """
SELECT count(*) FILTER (WHERE (r.is_public, r.acl) IS DISTINCT FROM (s.is_public, s.acl)), count(*)
FROM sample AS s
JOIN (
    SELECT id, is_public, acl FROM public.molecules
    UNION ALL
    SELECT molecule_id, is_public, acl FROM public.molecule_identifiers
    UNION ALL
    SELECT molecule_id, is_public, acl FROM public.molecular_properties
) AS r ON r.id = s.id
"""
PUBLIC_IDS_SQL: Final = "SELECT id FROM public.molecules WHERE is_public ORDER BY md5(id::text) LIMIT %(sample)s"
OWN_IDS_SQL: Final = """
SELECT m.id
FROM public.molecules AS m
JOIN public.projects AS p ON p.id = m.project_id
JOIN public.team_members AS t ON t.team_id = p.team_id
WHERE NOT m.is_public AND t.user_id = %(caller)s
ORDER BY md5(m.id::text)
LIMIT %(sample)s
"""


def prepare(base_url: str, secret: str, size: int, say: Callable[[str], None]) -> DatabaseUrls:
    """Return the URLs of the database with `size` molecules, made where it is missing or of another schema.

    Raises:
        DataError: The rows loaded are not those that the triggers would have made.
    """
    name = f"security_{size}"
    urls = database_urls(named(base_url, name), None, secret)
    wanted = _fingerprint(size)
    with psycopg.connect(base_url, autocommit=True) as server:
        found = server.execute(FIND_DATABASE_SQL, {"name": name}).fetchone()
        if found is None or found[0] != wanted:
            say(f"loading {size:,} molecules with their parts, once")
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            migrate.upgrade(urls, secret=secret)
            _fill(server, urls.admin, size)
            server.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(wanted)))
            server.execute("CHECKPOINT")
    migrate.upgrade(urls, secret=secret)
    return urls


def public_ids(admin_url: str) -> list[UUID]:
    """Return ids of molecules that everybody sees."""
    with psycopg.connect(admin_url) as connection:
        return [row[0] for row in connection.execute(PUBLIC_IDS_SQL, {"sample": SAMPLE})]


def own_ids(admin_url: str) -> list[UUID]:
    """Return ids of private molecules in the caller's projects."""
    with psycopg.connect(admin_url) as connection:
        return [row[0] for row in connection.execute(OWN_IDS_SQL, {"sample": SAMPLE, "caller": dataset.CALLER})]


def named(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _fingerprint(size: int) -> str:
    """Return what tells databases of this schema and this load from others."""
    digest = hashlib.sha256()
    for file in (*sorted((migrate.MIGRATIONS / "versions").glob("*.py")), Path(__file__)):
        digest.update(file.read_bytes())
    return f"{size} molecules, {digest.hexdigest()[:16]}"


def _fill(source: psycopg.Connection, admin_url: str, size: int) -> None:
    with psycopg.connect(admin_url) as connection:
        with connection.transaction():
            _copy_structures(source, connection, min(size, DISTINCT))
            _add_people(connection)
            connection.execute(TRIGGERS_OFF_SQL)
            indexes = _drop_indexes(connection)
            _add_molecules(connection, size)
            connection.execute(TRIGGERS_ON_SQL)
            _restore_indexes(connection, indexes)
        _check_triggers(connection)
        connection.rollback()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")


def _copy_structures(source: psycopg.Connection, target: psycopg.Connection, count: int) -> None:
    target.execute(STRUCTURES_SQL)
    out = sql.SQL(COPY_OUT_SQL).format(sql.Literal(count))
    with source.cursor().copy(out) as blocks, target.cursor().copy(COPY_IN_SQL) as copy:
        for block in blocks:
            copy.write(block)
    target.execute("ANALYZE structures")


def _add_people(connection: psycopg.Connection) -> None:
    parameters = {
        "teams": TEAMS,
        "members": MEMBERS,
        "projects": PROJECTS,
        "caller": dataset.CALLER,
        "callers": list(CALLERS_TEAMS),
    }
    for statement in (ADD_PEOPLE_SQL, ADD_TEAMS_SQL, ADD_MEMBERS_SQL, ADD_PROJECTS_SQL):
        connection.execute(statement, parameters)


def _add_molecules(connection: psycopg.Connection, size: int) -> None:
    parameters = {
        "teams": TEAMS,
        "projects": PROJECTS,
        "size": size,
        "distinct": min(size, DISTINCT),
        "first": dataset.FIRST_CREATED_AT,
        "tail": dataset.ID_TAIL,
    }
    connection.execute(ADD_MOLECULES_SQL, parameters)
    connection.execute("ANALYZE public.molecules")
    connection.execute(ADD_IDENTIFIERS_SQL, parameters)
    connection.execute(ADD_PROPERTY_TYPES_SQL)
    connection.execute(ADD_PROPERTIES_SQL, parameters)


def _indexes(connection: psycopg.Connection) -> Sequence[tuple[str, str]]:
    return connection.execute(INDEXES_SQL, {"tables": [f"public.{name}" for name in TABLES]}).fetchall()


def _drop_indexes(connection: psycopg.Connection) -> Sequence[tuple[str, str]]:
    indexes = _indexes(connection)
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(*name.split("."))))
    return indexes


def _restore_indexes(connection: psycopg.Connection, indexes: Sequence[tuple[str, str]]) -> None:
    connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
    for _, definition in indexes:
        connection.execute(definition.encode())
    if _indexes(connection) != indexes:
        msg = "the indexes are not what they were before the load"
        raise dataset.DataError(msg)


def _check_triggers(connection: psycopg.Connection) -> None:
    """Refuse rows that differ from what the triggers make of them; nothing is kept.

    Raises:
        DataError: Some differ.
    """
    with connection.transaction(force_rollback=True):
        connection.execute(SAMPLE_SQL)
        connection.execute(DRAW_SAMPLE_SQL, {"sample": SAMPLE})
        for statement in (REPEAT_ACL_SQL, REPEAT_IDENTIFIERS_SQL, REPEAT_PROPERTIES_SQL):
            connection.execute(statement)
        wrong, compared = connection.execute(WRONG_ROWS_SQL).fetchone() or (0, 0)
    if wrong or not compared:
        msg = f"{wrong:,} of {compared:,} rows are not as the triggers make them"
        raise dataset.DataError(msg)
