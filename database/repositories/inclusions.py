"""Which records are shown inside which: what `include` and `only` take beside a record's own parts.

Validation, statements, OpenAPI and docs follow from here. It is one table, for resources refer to each other in a
circle, and their modules cannot. Each statement reads every table with the caller's own policies, so that nothing is
shown inside a record that its own address would hide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from database.listing import Detail, Inclusion, Listing, Many, One, Shape
from database.repositories.experiments import EXPERIMENTS, EXPERIMENTS_OF_MIXTURE, EXPERIMENTS_OF_MOLECULE
from database.repositories.mixtures import MIXTURES, MIXTURES_OF_MOLECULE
from database.repositories.molecules import MOLECULES
from database.repositories.predictions import PREDICTIONS, PREDICTIONS_OF_MIXTURE, PREDICTIONS_OF_MOLECULE
from database.repositories.toxicity import RESULTS, RESULTS_OF_MOLECULE

_MEASURED: Final = Shape(Detail.MINIMAL, include=("results",))
_COMPOSED: Final = Shape(Detail.MINIMAL, include=("components",))

INCLUSIONS: Final[Mapping[Listing, tuple[Inclusion, ...]]] = {
    MOLECULES: (
        Many("mixtures", MIXTURES, MIXTURES_OF_MOLECULE),
        Many("experiments", EXPERIMENTS, EXPERIMENTS_OF_MOLECULE, _MEASURED),
        Many("predictions", PREDICTIONS, PREDICTIONS_OF_MOLECULE),
        Many("toxicity", RESULTS, RESULTS_OF_MOLECULE),
    ),
    MIXTURES: (
        Many("predictions", PREDICTIONS, PREDICTIONS_OF_MIXTURE),
        Many("experiments", EXPERIMENTS, EXPERIMENTS_OF_MIXTURE, _MEASURED),
    ),
    EXPERIMENTS: (
        One("mixture", MIXTURES, "mixture_id", _COMPOSED),
        One("molecule", MOLECULES, "molecule_id"),
    ),
    PREDICTIONS: (
        One("mixture", MIXTURES, "mixture_id", _COMPOSED),
        One("molecule", MOLECULES, "molecule_id"),
    ),
    RESULTS: (One("molecule", MOLECULES, "molecule_id"),),
}


def inclusions_of(listing: Listing) -> tuple[Inclusion, ...]:
    """Return what a record of the listing can show of others."""
    return INCLUSIONS.get(listing, ())


def names_of(listing: Listing) -> tuple[str, ...]:
    """Return all that `include` and `only` take."""
    return (*listing.shown, *(item.name for item in inclusions_of(listing)))
