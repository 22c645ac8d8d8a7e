"""The service's own statements, in the notations of asyncpg and pgbench.

Everybody is to do the same work, so nobody's SQL is written here: the statements come from the service's
repository and listing, and only their placeholders change. This is the single place that knows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import dataset
from benchmarks.pgbench import Script
from database.listing import Filter, ListRequest, Shape, compose_one, compose_page
from database.repositories.molecules import MOLECULES
from database.session import READ_PREAMBLE_SQL, WRITE_PREAMBLE_SQL

PAGE_LIMIT: Final = 50
LIGHTEST_G_MOL: Final = 250.0
HEAVIEST_G_MOL: Final = 300.0
SAMPLE_STEP: Final = 110
"""Distance between the rows of the sample; a multiple of ten, so that none is somebody else's."""
SAMPLE_IDS: Final = 1000
RANDOM_ID: Final = f"(lpad(to_hex(CAST(:row_ms AS bigint)), 12, '0') || '{dataset.ID_TAIL}')::uuid"
BEGIN_READING_SQL: Final = "BEGIN READ ONLY"

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_LITERAL: Final = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A statement with `$1`, `$2`, ... and what they stand for."""

    text: str
    names: tuple[str, ...]

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """Return the values in the order of their numbers."""
        return [values[name] for name in self.names]


def get_one() -> str:
    """Return the statement that the service sends for one molecule."""
    return compose_one(MOLECULES, Shape())


def page_request(*, by_mass: bool = False, with_identifiers: bool = False) -> ListRequest:
    """Return a list that is measured: the newest 50, or those in a range of molar masses."""
    low, high = Filter("molar_mass_g_mol", "gte", LIGHTEST_G_MOL), Filter("molar_mass_g_mol", "lt", HEAVIEST_G_MOL)
    return ListRequest(
        shape=Shape(include=("identifiers",) if with_identifiers else ()),
        filters=(low, high) if by_mass else (),
        limit=PAGE_LIMIT,
    )


def numbered(statement: str) -> Numbered:
    """Return a statement with numbered placeholders, as asyncpg takes it."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(statement)))
    return Numbered(
        _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%"), names
    )


def script_get_one(claims_json: str, *, pipelined: bool) -> Script:
    """Return what pgbench sends to get one molecule of the sample at random."""
    first_ms = int(dataset.FIRST_CREATED_AT.timestamp() * 1000)
    step_ms = SAMPLE_STEP * int(dataset.STEP.total_seconds() * 1000)
    choose = f"\\set row_ms {first_ms} + random(0, {SAMPLE_IDS - 1}) * {step_ms}\n"
    statement = get_one().replace("%(id)s", RANDOM_ID)
    return _script(choose, statement, {}, claims_json, pipelined=pipelined)


def script_page(request: ListRequest, claims_json: str, *, pipelined: bool) -> Script:
    """Return what pgbench sends for one page."""
    plan = compose_page(MOLECULES, request)
    return _script("", plan.statement, plan.parameters, claims_json, pipelined=pipelined)


def script_of(statement: str, values: Mapping[str, object], claims_json: str, *, pipelined: bool) -> Script:
    """Return what pgbench sends for any statement of the service."""
    return _script("", statement, values, claims_json, pipelined=pipelined)


def _script(choose: str, statement: str, values: Mapping[str, object], claims_json: str, *, pipelined: bool) -> Script:
    variables = {"role": "authenticated", "claims": claims_json, "request_id": "bench"}
    variables |= {name: str(value) for name, value in values.items()}

    def bind(literal: re.Match[str]) -> str:
        # pgbench takes a colon inside a literal for a variable: such literals are bound instead.
        if ":" not in literal[1]:
            return literal[0]
        name = f"literal{len(variables)}"
        variables[name] = literal[1]
        return f":{name}"

    def bound(text: str) -> str:
        return _PLACEHOLDER.sub(r":\1", _LITERAL.sub(bind, text)).replace("%%", "%").strip() + ";\n"

    if pipelined:
        body = "\\startpipeline\n" + bound(READ_PREAMBLE_SQL) + bound(statement) + "\\endpipeline\n"
    else:
        body = f"{BEGIN_READING_SQL};\n{bound(WRITE_PREAMBLE_SQL)}{bound(statement)}COMMIT;\n"
    return Script(choose + body, variables)
