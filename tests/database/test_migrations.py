"""Migrations: numbered, tested head, up, down and up again."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from database import migrate
from database.urls import DatabaseUrls
from tests.database.clones import own_database
from tests.plugins.database import SECRET

SCHEMA_SQL = """
SELECT 'column', table_schema || '.' || table_name, column_name, data_type || coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema IN ('public', 'private')
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'private'::regnamespace)
UNION ALL
SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'private')
UNION ALL
SELECT 'policy', tablename, policyname, concat(cmd, roles, qual, with_check) FROM pg_policies
UNION ALL
SELECT 'function', pronamespace::regnamespace::text, proname, concat(prosrc, proacl, prosecdef, proconfig)
FROM pg_proc WHERE pronamespace = 'private'::regnamespace
UNION ALL
SELECT 'trigger', t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace IN ('public'::regnamespace, 'private'::regnamespace) AND NOT t.tgisinternal
UNION ALL
SELECT 'column grant', attrelid::regclass::text, attname,
    (SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest(attacl) AS item)
FROM pg_attribute WHERE attacl IS NOT NULL AND attnum > 0 AND NOT attisdropped
    AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
UNION ALL
SELECT 'grant', relnamespace::regnamespace::text, relname,
    (SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest(relacl) AS item)
FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'private'::regnamespace) AND relkind = 'r'
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def empty(server_url: str) -> Iterator[DatabaseUrls]:
    """Give the URLs of an empty database."""
    with own_database(server_url, "migrations") as bare:
        yield bare


def _schema(urls: DatabaseUrls) -> list[tuple[str, ...]]:
    with psycopg.connect(urls.admin) as connection:
        return connection.execute(sql.SQL(SCHEMA_SQL)).fetchall()


def test_the_head_file_names_the_last_migration_and_revisions_are_file_stems() -> None:
    revisions = [revision for revision, _ in migrate.history()]

    assert revisions[-1] == migrate.head()
    assert revisions == sorted(path.stem for path in (migrate.MIGRATIONS / "versions").glob("0*.py"))


def test_up_down_and_up_again_gives_the_same_schema(empty: DatabaseUrls) -> None:
    migrate.upgrade(empty, secret=SECRET)
    first = _schema(empty)

    migrate.downgrade(empty, "base")
    left = [row for row in _schema(empty) if "alembic" not in str(row)]
    migrate.upgrade(empty, secret=SECRET)

    assert left == []
    assert _schema(empty) == first
    assert migrate.current(empty) == migrate.head()


def test_each_migration_can_be_taken_back_by_itself(empty: DatabaseUrls) -> None:
    revisions = [revision for revision, _ in migrate.history()]
    for before, revision in zip([None, *revisions], revisions, strict=False):
        below = _schema(empty) if before else []
        migrate.upgrade(empty, secret=SECRET, revision=revision)
        migrate.downgrade(empty, before or "base")
        left = _schema(empty) if before else []
        migrate.upgrade(empty, secret=SECRET, revision=revision)

        assert set(left) ^ set(below) == set(), revision
        assert migrate.current(empty) == revision
