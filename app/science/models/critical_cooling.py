"""Critical cooling rate of ethanol or ethylene glycol in water: an order of magnitude, and of no other solute.

The rate falls exponentially with concentration. Where it is 1 K/s, and what it would be without solute, is known;
the two give each solute's constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from app.science.models import solutes
from app.science.models.cases import Case, Composition
from app.science.models.model import Answer, Model, Parameter

PROPERTY: Final = "critical_cooling_rate"
RATE_WITHOUT_SOLUTE_K_S: Final = 2.5e5
# Mass fraction at which the rate is 1 K/s.
ONE_K_S_AT: Final = {solutes.ETHANOL: 0.36, solutes.ETHYLENE_GLYCOL: 0.57}
RESERVATION: Final = "an order of magnitude, of a solution without cells or tissue"
_SECONDS_PER_MINUTE: Final = 60.0
# Below, the measured rates rise above the exponential (pure water 6.4e6 K/s); above, nothing is known.
_MASS_FRACTION: Final = (0.05, 0.60)
# A judgement: nine of ten measured rates are less than ten times the estimate.
_ERROR: Final = (10.0 - 1.0) / 1.645


def critical_cooling_rate_k_min(mass_fraction: float, one_k_s_at: float) -> float:
    """Return the slowest cooling without ice, in K/min.

    Valid for: 5-60 % w/w; solution volumes of microlitres to millilitres.
    Reference: Warkentin & Thorne 2011, APS March Meeting T13.11 (form); IUCr Acta D di5016, fig. 4 (1 K/s).
    """
    slope = math.log(RATE_WITHOUT_SOLUTE_K_S) / one_k_s_at
    return RATE_WITHOUT_SOLUTE_K_S * math.exp(-slope * mass_fraction) * _SECONDS_PER_MINUTE


def answers(cases: Sequence[Case]) -> list[dict[str, Answer]]:
    """Return the critical cooling rate of each case."""
    return [{PROPERTY: _answer(case.composition)} for case in cases]


def _answer(composition: Composition) -> Answer:
    keys = list(composition.molality_mol_kg)
    if not composition.is_aqueous:
        return Answer(None, None, f"the estimate is for solutions in water, not in {composition.solvent}")
    if len(keys) != 1 or keys[0] not in ONE_K_S_AT:
        return Answer(None, None, "known of ethanol or ethylene glycol alone in water; measured rates of others differ")
    fraction, (low, high) = composition.mass_fraction(), _MASS_FRACTION
    if not low <= fraction <= high:
        return Answer(None, None, f"{fraction:.1%} w/w is outside {low:.0%}-{high:.0%} w/w")
    rate = critical_cooling_rate_k_min(fraction, ONE_K_S_AT[keys[0]])
    return Answer(rate, rate * _ERROR, RESERVATION)


_FIGURE: Final = "IUCr Acta Cryst. D di5016, caption of fig. 4, read there"
EXPONENTIAL_CCR: Final = Model(
    name="exponential_ccr",
    version="1",
    title="Critical cooling rate that falls exponentially with concentration: an order of magnitude",
    properties={PROPERTY: "K/min"},
    equation="CCR = CCR_0 exp(-ln(CCR_0 / (1 K/s)) w / w_1), w mass fraction, w_1 where CCR is 1 K/s",
    parameters=(
        Parameter(
            "water",
            "CCR_0",
            RATE_WITHOUT_SOLUTE_K_S,
            "K/s",
            "extrapolated; read in a repository that quotes it",
            seen=True,
        ),
        *(Parameter(solutes.NAMES[key], "w_1", value, "1", _FIGURE, seen=True) for key, value in ONE_K_S_AT.items()),
    ),
    valid_for="ethanol or ethylene glycol alone in water, 5-60 % w/w, no tissue",
    reference="Warkentin & Thorne 2011, APS March Meeting T13.11",
    default_for=frozenset({PROPERTY}),
    answers=answers,
)
