"""What the database gave up is carried out again, unseen by the client; what it may have kept is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.api.problems import problem
from tests.plugins.api import Api

# A sequence forgets nothing with a rollback: so many attempts fail, and the next one succeeds.
SABOTAGE_SQL = """
CREATE SEQUENCE public.attempts;
CREATE FUNCTION public.sabotage() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('public.attempts') <= {failures} THEN
        IF {state} = '57P01' THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(1);
        END IF;
        RAISE EXCEPTION 'sabotage' USING ERRCODE = {state};
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sabotage BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.sabotage();
"""
END_SQL = "DROP FUNCTION public.sabotage() CASCADE; DROP SEQUENCE public.attempts"

Sabotage = Callable[[str, int, str], None]


@pytest.fixture
def sabotage(admin: psycopg.Connection, emptied: None) -> Iterator[Sabotage]:
    """Give a way to let the first inserts into a table fail."""

    def begin(state: str, failures: int, table: str) -> None:
        script = sql.SQL(SABOTAGE_SQL).format(
            failures=sql.Literal(failures), state=sql.Literal(state), table=sql.Identifier("public", table)
        )
        admin.execute(script)

    yield begin
    admin.execute(END_SQL)


def _attempts(admin: psycopg.Connection) -> int:
    (row,) = admin.execute("SELECT last_value FROM public.attempts").fetchall()
    return int(row[0])


@pytest.mark.parametrize(("state", "failures"), [("40001", 1), ("40001", 2), ("40P01", 1), ("57P01", 1), ("57P01", 2)])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one"}], ids=["plain", "keyed"])
def test_what_nothing_was_kept_of_is_done_again(
    alice: Api, sabotage: Sabotage, state: str, failures: int, headers: dict[str, str]
):
    sabotage(state, failures, "teams")

    response = alice.post("/teams", {"name": "persistent"}, headers=headers)

    assert response.status_code == 201
    assert [team["name"] for team in alice.get("/teams").get_json()["data"]] == ["persistent"]


@pytest.mark.parametrize(("state", "code"), [("40001", "database_busy"), ("57P01", "database_unavailable")])
def test_after_three_times_it_is_refused(
    alice: Api, admin: psycopg.Connection, sabotage: Sabotage, state: str, code: str
):
    sabotage(state, 5, "teams")

    response = alice.post("/teams", {"name": "in vain"})

    problem(response, 503, code)
    assert int(response.headers["Retry-After"]) >= 1
    assert _attempts(admin) == 3
    assert admin.execute("SELECT FROM teams").fetchall() == []


@pytest.mark.parametrize("state", ["57014", "55P03", "53100", "25006"])
def test_what_another_attempt_would_not_mend_is_not_tried_again(
    alice: Api, admin: psycopg.Connection, sabotage: Sabotage, state: str
):
    sabotage(state, 5, "teams")

    response = alice.post("/teams", {"name": "once"})

    problem(response, 503, "database_busy")
    assert _attempts(admin) == 1


def test_a_body_that_was_read_as_a_stream_is_not_asked_for_again(
    service: Api, admin: psycopg.Connection, sabotage: Sabotage
):
    sabotage("40001", 1, "import_runs")
    record = (
        '{"molecules": [{"molecule_chembl_id": "CHEMBL1", "molecule_structures": {"canonical_smiles": "CS(C)=O"}}]}'
    )

    response = service.post("/imports/records?source=chembl", data=record, content_type="application/json")

    problem(response, 503, "database_busy")
    assert _attempts(admin) == 1
