"""What is asked of every contestant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


RANGE_G_MOL: Final = (statements.LIGHTEST_G_MOL, statements.HEAVIEST_G_MOL)
RANGE_PATH: Final = f"{MOLECULES_PATH}?molar_mass_g_mol__gte={RANGE_G_MOL[0]:g}&molar_mass_g_mol__lt={RANGE_G_MOL[1]:g}"
_range_script: Callable[..., Script] = partial(statements.script_page, statements.page_request(RANGE_G_MOL))

GET_ONE: Final = Scenario(
    "GET one",
    [f"{MOLECULES_PATH}/{molecule_id(index * statements.SAMPLE_STEP)}" for index in range(statements.SAMPLE_IDS)],
    statements.script_get_one,
    clients=(1, 16),
)
LIST_50: Final = Scenario(
    "list 50", [MOLECULES_PATH], partial(statements.script_page, statements.page_request()), clients=(1, 16)
)
LIST_50_FILTERED: Final = Scenario("list 50 by mass", [RANGE_PATH], _range_script, clients=(16,))
SCENARIOS: Final = (GET_ONE, LIST_50, LIST_50_FILTERED)
