"""How water and cryoprotectants cross the membranes of the cells that were measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.science.models import solutes

GAS_CONSTANT_CAL_MOL_K: Final = 1.987204
# Measured at one temperature, a permeability holds two kelvin around it: with 15 kcal/mol it changes by a sixth.
_AROUND_K: Final = 2.0


@dataclass(frozen=True, slots=True)
class Permeability:
    """One permeability at one temperature: um/(min atm) of water, um/min of a solute; None is an unknown energy."""

    value: float
    error: float
    """As the source prints it behind +-; taken for a standard error."""
    at_k: float
    activation_kcal_mol: float | None
    source: str

    def at(self, temperature_k: float) -> float:
        """Return the permeability at another temperature by Arrhenius' law."""
        energy = 1000.0 * (self.activation_kcal_mol or 0.0)
        return self.value * math.exp(-energy / GAS_CONSTANT_CAL_MOL_K * (1.0 / temperature_k - 1.0 / self.at_k))


@dataclass(frozen=True, slots=True)
class Cell:
    """One type of cell: its water permeability alone and beside an agent, and the agents' own."""

    name: str
    water: Permeability
    temperature_k: tuple[float, float]
    agents: Mapping[str, Permeability] = field(default_factory=dict)
    water_beside: Mapping[str, Permeability] = field(default_factory=dict)
    inactive_fraction: tuple[float, float] | None = None
    """Part of the isotonic volume that takes no part in osmosis, and its standard error."""

    def water_with(self, agent: str | None) -> Permeability:
        """Return the water permeability beside an agent, or the cell's own where that was not measured apart."""
        return self.water_beside.get(agent, self.water) if agent else self.water


def _near(celsius: float) -> tuple[float, float]:
    return celsius + 273.15 - _AROUND_K, celsius + 273.15 + _AROUND_K


def _oocyte(value: float, error: float, *, per_second: bool = False) -> Permeability:
    factor = 60.0 if per_second else 1.0
    return Permeability(value * factor, error * factor, 296.65, None, _KARLSSON)


_KARLSSON: Final = "Karlsson et al. 2009, doi:10.1002/mrd.20956, abstract"
_FEDOROW: Final = "Fedorow et al. 2001, PMID 11714201, abstract"
_NOILES: Final = "Noiles et al. 1993, doi:10.1095/biolreprod48.1.99, abstract"
_SPERM_GLYCEROL: Final = "Biochim. Biophys. Acta 1994, doi:10.1016/0005-2736(94)90196-1, abstract"
_LEIBO: Final = "Leibo 1980, J. Membr. Biol. 53:179, abstract"
_FOLLICLE: Final = "code of a follicle model that cites PMC4141568; the paper was not read"

CELLS: Final = (
    Cell(
        "rhesus monkey MII oocyte",
        _oocyte(0.55, 0.05),
        _near(23.5),
        agents={
            solutes.PROPYLENE_GLYCOL: _oocyte(0.56, 0.05, per_second=True),
            solutes.ETHYLENE_GLYCOL: _oocyte(0.34, 0.07, per_second=True),
            solutes.DMSO: _oocyte(0.24, 0.02, per_second=True),
        },
        water_beside={
            solutes.PROPYLENE_GLYCOL: _oocyte(0.86, 0.06),
            solutes.ETHYLENE_GLYCOL: _oocyte(0.61, 0.07),
            solutes.DMSO: _oocyte(1.01, 0.10),
        },
        inactive_fraction=(0.197, 0.024),
    ),
    Cell(
        "newborn pig islet cell",
        Permeability(0.300, 0.016, 295.15, 16.69, _FEDOROW),
        (277.15, 295.15),
        agents={solutes.DMSO: Permeability(5.33, 0.26, 295.15, 15.98, _FEDOROW)},
    ),
    Cell(
        "human sperm",
        Permeability(2.40, 0.20, 295.15, 3.92, _NOILES),
        (273.15, 303.15),
        agents={solutes.GLYCEROL: Permeability(6.0, 1.4, 293.15, 11.6, _SPERM_GLYCEROL)},
    ),
    Cell("mouse unfertilised ovum", Permeability(0.44, 0.07, 293.15, 14.5, _LEIBO), _near(20.0)),
    Cell("mouse fertilised ovum", Permeability(0.43, 0.07, 293.15, 13.0, _LEIBO), _near(20.0)),
    Cell(
        "granulosa cell",
        # No error is stated; that of the oocytes beside it, a fifth, is taken.
        Permeability(0.00288776 * 60.0, 0.2 * 0.00288776 * 60.0, 296.65, None, _FOLLICLE),
        _near(23.5),
        agents={solutes.ETHYLENE_GLYCOL: Permeability(0.0345 * 60.0, 0.2 * 0.0345 * 60.0, 296.65, None, _FOLLICLE)},
    ),
)


def cell_named(name: str) -> Cell | None:
    """Return the cell type of that name, in singular or plural, or None."""
    return _BY_NAME.get(_plain(name))


def _plain(name: str) -> str:
    words = " ".join(name.casefold().split())
    return words.replace("oocytes", "oocyte").replace("cells", "cell").replace("ova", "ovum") if words else words


_BY_NAME: Final = {_plain(cell.name): cell for cell in CELLS}
