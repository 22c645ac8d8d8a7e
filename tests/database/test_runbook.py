"""The runbook's table of errors is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from app.errors import LostError, OutcomeUnknownError, UnavailableError
from database import errors
from database.connection import SilenceError
from database.errors import CommitLostError, is_connection_loss, is_outage, translate

RUNBOOK: Final = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
ROW: Final = re.compile(r"^\| (none|[0-9A-Z ]+) \| [^|]+ \| ([a-z, ]+) \| (counts|no) \| `(\w+)` \|$", re.MULTILINE)
TABLE: Final = {
    state: (again, breaker == "counts", code)
    for states, again, breaker, code in ROW.findall(RUNBOOK)
    for state in states.split()
}


def _error(state: str) -> psycopg.Error:
    return psycopg.OperationalError() if state == "none" else psycopg.errors.lookup(state)()


def _again(error: psycopg.Error) -> str:
    """Return what is carried out again, as the table says it."""
    # What is a lost connection, database/pool.py begins anew; whoever is to write, on a server that takes changes, too.
    fresh = ["read", "begin"] if is_connection_loss(error) else []
    fresh += ["begin"] if isinstance(error, psycopg.errors.ReadOnlySqlTransaction) else []
    return ", ".join([*fresh, *(["request"] if isinstance(translate(error), LostError) else [])]) or "no"


def test_the_table_is_found():
    assert len(TABLE) >= 20


@pytest.mark.parametrize("state", sorted(TABLE))
def test_an_error_is_treated_as_the_table_says(state: str):
    error = _error(state)
    known = translate(error)

    assert isinstance(known, UnavailableError)
    assert (_again(error), is_outage(error), known.code) == TABLE[state]
    assert known.retry_after_s >= 1


def test_every_state_that_makes_the_service_unavailable_stands_in_the_table():
    listed = {state for state in psycopg.errors._sqlcodes if state.isalnum() and len(state) == 5}
    unavailable = {state for state in listed if isinstance(translate(_error(state)), UnavailableError)}

    assert unavailable == set(TABLE) - {"none"}
    assert set(errors._BUSY_STATES) | errors._CONNECTION_STATES <= unavailable


@pytest.mark.parametrize(
    ("error", "kind", "breaker", "code"),
    [
        (SilenceError(), UnavailableError, "counts", "database_unavailable"),
        (PoolTimeout(), UnavailableError, "counts", "database_unavailable"),
        (TooManyRequests(), UnavailableError, "no", "database_busy"),
        (PoolClosed(), UnavailableError, "no", "database_unavailable"),
        (CommitLostError(), OutcomeUnknownError, "counts", "outcome_unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_has_no_sqlstate_is_treated_as_the_text_says(
    error: psycopg.Error, kind: type[UnavailableError], breaker: str, code: str
):
    known = translate(error)

    assert type(known) is kind
    assert known.code == code
    assert is_outage(error) is (breaker == "counts")


def test_a_commit_into_silence_is_not_tried_again():
    error = CommitLostError()
    error.__cause__ = SilenceError()

    known = translate(error)

    assert type(known) is UnavailableError
    assert known.code == "outcome_unknown"
