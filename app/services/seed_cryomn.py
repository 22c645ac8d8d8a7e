"""Puts what could be read of ML-for-CryoMN's raw table into the database, each row of it once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from app.domain.callers import SERVICE
from app.domain.provenance import Certainty
from app.importers.cryomn import CryomnRow, Recipe
from app.services.literature_records import Amount, Measurement, Solution
from app.services.maintenance import refresh_summary_soon
from app.services.seed_literature import Added, add_published
from database.repositories.provenance import ImportFault, SourceStatement
from database.session import Database

CRYOMN: Final = SourceStatement("ML-for-CryoMN", url="https://github.com/DoggoneBastard/ML-for-CryoMN", licence="MIT")
_PURPOSE: Final = "freezing medium"
_PERCENTAGES: Final = "Bare percentages are taken as v/v of liquids and as w/v of solids."
_MAX_NAME: Final = 500
_MAX_SOLVENT: Final = 200


def add_cryomn(database: Database, rows: Sequence[CryomnRow], log: Callable[[str], None] = lambda _: None) -> Added:
    """Add the rows that could be read and return how much of them is new; the others are kept as the run's errors."""
    read = [row for row in rows if row.is_read]
    solutions = {_key(row.recipe): _solution(row) for row in reversed(read)}
    missing = [ImportFault(row.index, row.text, "; ".join(row.faults)) for row in rows if not row.is_read]
    with database.transaction(SERVICE) as session:
        added = add_published(session, CRYOMN, [*solutions.values()], [_measurement(row) for row in read], missing)
        refresh_summary_soon(session)
    recipes = sum(bool(row.recipe.parts) and not row.recipe.unread for row in rows)
    log(f"understood {recipes} of {len(rows)} recipes, and {len(read)} of {len(rows)} rows as a whole")
    log(f"added {added.mixtures} mixtures and {added.experiments} experiments; left out {added.left_out} rows")
    return added


def _key(recipe: Recipe) -> str:
    said = "|".join([_amounts(recipe), _solvent(recipe), *recipe.additives])
    return hashlib.sha256(said.casefold().encode()).hexdigest()[:16]


def _solution(row: CryomnRow) -> Solution:
    recipe = row.recipe
    additives = f" Also in it: {', '.join(recipe.additives)}." if recipe.additives and recipe.carriers else ""
    return Solution(
        key=_key(recipe),
        name=f"{_amounts(recipe)} in {_solvent(recipe)}"[:_MAX_NAME],
        purpose=_PURPOSE,
        solvent=_solvent(recipe)[:_MAX_SOLVENT],
        components=tuple(Amount(part.molecule, part.amount, part.unit) for part in recipe.parts),
        certainty=Certainty.SECONDARY,
        description=f"As worded: {row.text.rstrip('.')}.{additives} {_PERCENTAGES}",
        reference=f"doi:{row.doi}",
    )


def _amounts(recipe: Recipe) -> str:
    return " + ".join(f"{part.amount:g} {part.unit} {part.molecule}" for part in recipe.parts)


def _solvent(recipe: Recipe) -> str:
    return " + ".join(recipe.carriers or recipe.additives) or "carrier not stated"


def _measurement(row: CryomnRow) -> Measurement:
    viability = row.viability
    if viability is None:
        msg = f"row {row.index} has no viability"
        raise ValueError(msg)
    conditions: dict[str, Any] = {
        "cooling_rate_k_min": row.cooling_rate_k_min,
        "cell_type": row.cell_type,
        "assessed_after_days": viability.assessed_after_days,
    }
    spread = " Whether the spread is a standard deviation or error is not said." if viability.spread else ""
    return Measurement(
        key=row.key,
        name=f"Viability after freezing in {_amounts(row.recipe)}"[:_MAX_NAME],
        results=(
            {
                "property_type": "post_thaw_viability",
                "relation": viability.relation,
                "value": viability.percent,
                "unit": "%",
                "standard_deviation": None,
                "replicates": None,
            },
        ),
        conditions={name: value for name, value in conditions.items() if value is not None},
        certainty=Certainty.SECONDARY,
        solution=_key(row.recipe),
        protocol=row.cooling_text or None,
        reference=f"doi:{row.doi}",
        notes=f"As worded: {row.text.rstrip('.')}. Viability: {row.viability_text}.{spread}",
    )
