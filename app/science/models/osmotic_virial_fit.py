"""Osmotic virial coefficients: by `python -m benchmarks.science.osmotic_virial`, not by hand."""

from __future__ import annotations

from typing import Final

from app.science.models import solutes
from app.science.models.fits import VirialFit

# Standard error of a tabulated freezing point, however small the depression.
FLOOR_K: Final = 0.15

# Of the published coefficients on the same tables, as a part of the depression.
PUBLISHED_RELATIVE_ERROR: Final = {
    solutes.GLYCEROL: 0.022,
    solutes.ETHYLENE_GLYCOL: 0.028,
    solutes.PROPYLENE_GLYCOL: 0.047,
    solutes.METHANOL: 0.085,
    solutes.SODIUM_CHLORIDE: 0.014,
}

FITTED: Final = {
    solutes.GLYCEROL: VirialFit(
        values=(1.0, 0.030806, -0.00061586),
        columns=((0.0, 0.0024423, -0.00016491), (0.0, 0.0, 3.7564e-05)),
        relative_error=0.01,
    ),
    solutes.ETHYLENE_GLYCOL: VirialFit(
        values=(1.0, 0.037171, -0.00083893),
        columns=((0.0, 0.0018783, -0.00010099), (0.0, 0.0, 2.0901e-05)),
        relative_error=0.01,
    ),
    solutes.PROPYLENE_GLYCOL: VirialFit(
        values=(1.0, 0.047991, -0.00047161),
        columns=((0.0, 0.0031759, -0.00020767), (0.0, 0.0, 4.3896e-05)),
        relative_error=0.031,
    ),
    solutes.METHANOL: VirialFit(
        values=(1.0, 0.015152, -0.00032476),
        columns=((0.0, 0.00099252, -3.978e-05), (0.0, 0.0, 9.1314e-06)),
        relative_error=0.048,
    ),
    solutes.SODIUM_CHLORIDE: VirialFit(
        values=(1.6666, 0.047601, 0.0),
        columns=((0.029677, -0.0043246, 0.0), (0.0, 0.0010795, 0.0)),
        relative_error=0.01,
    ),
}
