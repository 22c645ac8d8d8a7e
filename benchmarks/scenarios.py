"""What is asked of every contestant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from benchmarks import statements
from benchmarks.dataset import molecule_id
from benchmarks.pgbench import Script

MOLECULES_PATH: Final = "/api/v1/molecules"


class MakeScript(Protocol):
    """Gives pgbench's form of a scenario."""

    def __call__(self, claims_json: str, *, pipelined: bool) -> Script:
        """Return the script."""
        ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question: its paths for HTTP, its script for pgbench, and with how many clients it is asked."""

    name: str
    paths: Sequence[str]
    script: MakeScript
    clients: Sequence[int]


MASS_QUERY: Final = (
    f"molar_mass_g_mol__gte={statements.LIGHTEST_G_MOL:g}&molar_mass_g_mol__lt={statements.HEAVIEST_G_MOL:g}"
)

GET_ONE: Final = Scenario(
    "GET one",
    [f"{MOLECULES_PATH}/{molecule_id(index * statements.SAMPLE_STEP)}" for index in range(statements.SAMPLE_IDS)],
    statements.script_get_one,
    clients=(1, 16),
)
LIST_50: Final = Scenario(
    "list 50", [MOLECULES_PATH], partial(statements.script_page, statements.page_request()), clients=(1, 16)
)
LIST_50_BY_MASS: Final = Scenario(
    "list 50 by mass",
    [f"{MOLECULES_PATH}?{MASS_QUERY}"],
    partial(statements.script_page, statements.page_request(by_mass=True)),
    clients=(16,),
)
LIST_50_WITH_IDENTIFIERS: Final = Scenario(
    "list 50 with identifiers",
    [f"{MOLECULES_PATH}?include=identifiers"],
    partial(statements.script_page, statements.page_request(with_identifiers=True)),
    clients=(16,),
)
TARGETED: Final = (GET_ONE, LIST_50)
FURTHER: Final = (LIST_50_BY_MASS, LIST_50_WITH_IDENTIFIERS)
