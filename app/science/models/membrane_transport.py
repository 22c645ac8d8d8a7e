"""Volume of cells in a protocol of baths: water and permeating cryoprotectants cross the membrane, each on its own.

The two-parameter model: a hydraulic permeability, and one permeability of each cryoprotectant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
from scipy.integrate import OdeSolution, solve_ivp

from app.science.models import solutes
from app.science.models.cases import ISOTONIC_OSMOL_KG, Case, Composition, Protocol, Step
from app.science.models.fits import Array
from app.science.models.membrane_cells import CELLS, Cell, cell_named
from app.science.models.model import FROM_MEMORY, Answer, Curve, Model, Parameter
from app.science.models.osmotic_virial import PUBLISHED

GAS_CONSTANT_L_ATM_MOL_K: Final = 0.082057366
MAX_STEPS: Final = 20
MAX_DURATION_MIN: Final = 1440.0
# Nobody changes a bath faster than this, 60 ms; over next to no time the solver's steps vanish and it never ends.
MIN_STEP_MIN: Final = 0.001
# From bacteria to the eggs of frogs. The smaller a cell, the stiffer its equations.
CELL_DIAMETER_UM: Final = (0.2, 5000.0)
# Animal cells have 0.2-0.6. Near 1 there is no water left to tell anything of.
MAX_INACTIVE_FRACTION: Final = 0.9
# General knowledge, no source read: membranes give way near it, red cells before.
BURSTING_VOLUME: Final = 2.0
CURVE_POINTS: Final = 200

_SUGARS: Final = (solutes.SUCROSE, solutes.TREHALOSE, solutes.RAFFINOSE, solutes.MANNITOL, solutes.SORBITOL)
_SALTS: Final = (solutes.SODIUM_CHLORIDE, solutes.POTASSIUM_CHLORIDE)
# Osmoles per mole of what stays outside of all these cells within minutes.
_IMPERMEANT: Final = dict.fromkeys(_SUGARS, 1.0) | {key: PUBLISHED[key].dissociation for key in _SALTS}
# kg/L at 298 K by correlations of DIPPR and VDI; a molar volume in solution is some per cent smaller.
_DENSITY_KG_L: Final = {
    solutes.DMSO: 1.0962, solutes.GLYCEROL: 1.2580, solutes.ETHYLENE_GLYCOL: 1.1101, solutes.PROPYLENE_GLYCOL: 1.0326,
}  # fmt: skip
# A judgement, of the model itself: cells that are all alike, ideal solutions, a constant surface.
_MODEL_ERROR: Final = 0.05
_RELATIVE_TOLERANCE: Final = 1e-7
_MAX_OSMOL_KG: Final = 10.0
# Far below the solver's tolerance. Numbers near the smallest that there are make it give none at all.
_NEGLIGIBLE_MOL_KG: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Membrane:
    """What the equations need, one number or an array of variants that are solved together."""

    water_um_min_atm: Array
    agent_um_min: Array
    agent_l_mol: float
    inactive_fraction: Array
    surface_to_volume_per_um: float


@dataclass(frozen=True, slots=True)
class Bath:
    """A step as the cell meets it."""

    duration_min: float
    temperature_k: float
    agent_mol_kg: float
    impermeant_osmol_kg: float


def cell_volumes(baths: Sequence[Bath], membranes: Sequence[Membrane]) -> tuple[Array, Array]:
    """Return times in minutes, and cell volumes as fractions of isotonic: a row for each variant, a column a time.

    `membranes` holds one membrane a bath, for permeabilities depend on temperature. Ideal dilute solutions; a kg of
    water fills a litre; surface and inactive volume stay as they are. It ends early where a cell passes
    `BURSTING_VOLUME`.
    Reference: Kleinhans 1998, doi:10.1006/cryo.1998.2135 (equations: general knowledge, not read there).
    """
    water = 1.0 - membranes[0].inactive_fraction
    state = np.concatenate([water, np.zeros_like(water)])
    times, volumes, begun = [np.zeros(1)], [np.ones((len(water), 1))], 0.0
    for bath, membrane in zip(baths, membranes, strict=True):
        solution = solve_ivp(
            _flows(bath, membrane),
            (0.0, bath.duration_min),
            state,
            method="LSODA",
            dense_output=True,
            rtol=_RELATIVE_TOLERANCE,
            atol=1e-9,
        )
        if not solution.success or not np.isfinite(solution.y).all():
            msg = "the equations of this protocol could not be solved"
            raise _RefusalError(msg)
        state = solution.y[:, -1]
        moments = _between(solution.t)
        inside = np.split(cast("OdeSolution", solution.sol)(moments), 2)
        times.append(begun + moments)
        volumes.append(membrane.inactive_fraction[:, None] + inside[0] + membrane.agent_l_mol * inside[1])
        begun += bath.duration_min
        if volumes[-1][0].max() > BURSTING_VOLUME:
            break
    return np.concatenate(times), np.concatenate(volumes, axis=1)


def _between(steps: Array) -> Array:
    """Return the ends of the solver's steps, which are short where water moves fast, and three moments in each."""
    shares = np.linspace(0.25, 1.0, 4)
    return np.asarray((steps[:-1, None] + np.diff(steps)[:, None] * shares).ravel(), np.float64)


def _flows(bath: Bath, membrane: Membrane) -> Callable[[float, Array], Array]:
    """Return the rates of change of water (L) and agent (mol), each per litre of the isotonic cell."""
    pace = membrane.surface_to_volume_per_um
    pressure = membrane.water_um_min_atm * pace * GAS_CONSTANT_L_ATM_MOL_K * bath.temperature_k
    salts = ISOTONIC_OSMOL_KG * (1.0 - membrane.inactive_fraction)
    outside = bath.agent_mol_kg + bath.impermeant_osmol_kg

    def flow(_: float, state: Array) -> Array:
        water, agent = np.split(state, 2)
        water = np.maximum(water, 1e-6)
        d_water = -pressure * (outside - (salts + agent) / water)
        d_agent = membrane.agent_um_min * pace * (bath.agent_mol_kg - agent / water)
        return np.concatenate([d_water, d_agent])

    return flow


def answers(cases: Sequence[Case]) -> list[dict[str, Answer]]:
    """Return the volume at the end of each case's protocol, and the smallest and the largest on the way."""
    return [_answer(case) for case in cases]


def _answer(case: Case) -> dict[str, Answer]:
    try:
        baths, membranes = _posed(case)
        times, volumes = cell_volumes(baths, membranes)
        _refuse_burst(times, volumes[0])
    except _RefusalError as refusal:
        return dict.fromkeys(_UNITS, Answer(None, None, str(refusal)))
    return {
        "cell_volume": replace(_with_error(volumes[:, -1]), curve=_curve(times, volumes[0])),
        "cell_volume_minimum": _with_error(volumes.min(axis=1)),
        "cell_volume_maximum": _with_error(volumes.max(axis=1)),
    }


class _RefusalError(Exception):
    """The model does not hold; the text says why."""


def _refuse_burst(times: Array, volumes: Array) -> None:
    if volumes.max() > BURSTING_VOLUME:
        burst_min = times[np.argmax(volumes > BURSTING_VOLUME)]
        msg = f"the cell would pass {BURSTING_VOLUME:g} times its isotonic volume after {burst_min:.3g} min and burst"
        raise _RefusalError(msg)


def _with_error(variants: Array) -> Answer:
    """Return the first variant; the others each have one parameter a standard error ahead."""
    spread = np.sqrt(((variants[1:] - variants[0]) ** 2).sum() + _MODEL_ERROR**2)
    return Answer(float(variants[0]), float(spread))


def _curve(times: Array, volumes: Array) -> Curve:
    every = -(-len(times) // CURVE_POINTS)
    chosen = np.unique([*range(0, len(times), every), int(volumes.argmin()), int(volumes.argmax()), len(times) - 1])
    return Curve(times[chosen].round(6).tolist(), volumes[chosen].round(6).tolist())


def _posed(case: Case) -> tuple[list[Bath], list[Membrane]]:
    """Return what is to be solved.

    Raises:
        _RefusalError: It cannot be.
    """
    composition, conditions = case.composition, case.conditions
    protocol = conditions.protocol
    if protocol is None:
        msg = "the model needs conditions.protocol, the baths that the cells go through"
        raise _RefusalError(msg)
    if not composition.is_aqueous:
        msg = f"the model holds for solutions in water, not in {composition.solvent}"
        raise _RefusalError(msg)
    cell = cell_named(conditions.cell_type or "")
    if cell is None:
        known = ", ".join(sorted(cell.name for cell in CELLS))
        msg = f"permeabilities are known of {known}: say conditions.cell_type"
        raise _RefusalError(msg)
    agent = _agent(composition, cell)
    shape = _shape(protocol, cell)
    baths = [_bath(step, composition, conditions.temperature_k, agent) for step in protocol.steps]
    _refuse_outside(baths, cell)
    agent_l_mol = composition.molar_mass_g_mol[agent] / 1000.0 / _DENSITY_KG_L[agent] if agent else 0.0
    return baths, [_membrane(bath.temperature_k, cell, agent, agent_l_mol, shape) for bath in baths]


def _agent(composition: Composition, cell: Cell) -> str | None:
    """Return the one solute that enters the cell, if there is any."""
    strange = [key for key in composition.molality_mol_kg if key not in cell.agents and key not in _IMPERMEANT]
    if strange:
        names = ", ".join(composition.named(key) for key in strange)
        msg = f"the permeability of {cell.name} to {names} is not known"
        raise _RefusalError(msg)
    permeating = [key for key in composition.molality_mol_kg if key in cell.agents]
    if len(permeating) > 1:
        msg = f"the permeabilities of {cell.name} were measured with one cryoprotectant at a time"
        raise _RefusalError(msg)
    return permeating[0] if permeating else None


@dataclass(frozen=True, slots=True)
class _Shape:
    inactive_fraction: float
    inactive_error: float
    surface_to_volume_per_um: float


def _shape(protocol: Protocol, cell: Cell) -> _Shape:
    stated = protocol.inactive_volume_fraction
    inactive = cell.inactive_fraction if stated is None else (stated, 0.0)
    if inactive is None:
        msg = f"the inactive volume of {cell.name} was not read: say conditions.protocol.inactive_volume_fraction"
        raise _RefusalError(msg)
    ratio = protocol.surface_to_volume_per_um
    if ratio is None and protocol.cell_diameter_um is not None:
        ratio = 6.0 / protocol.cell_diameter_um
    if ratio is None:
        msg = "the model needs conditions.protocol.cell_diameter_um or surface_to_volume_per_um"
        raise _RefusalError(msg)
    if inactive[0] > MAX_INACTIVE_FRACTION:
        msg = f"the model holds for cells with an inactive volume up to {MAX_INACTIVE_FRACTION:g}, not {inactive[0]:g}"
        raise _RefusalError(msg)
    smallest, largest = CELL_DIAMETER_UM
    if not 6.0 / largest <= ratio <= 6.0 / smallest:
        msg = (
            f"the model holds for cells of {smallest:g}-{largest:g} um, "
            f"a surface to volume of {6.0 / largest:g}-{6.0 / smallest:g} per um"
        )
        raise _RefusalError(msg)
    return _Shape(*inactive, ratio)


def _bath(step: Step, composition: Composition, temperature_k: float | None, agent: str | None) -> Bath:
    kelvin = step.temperature_k or temperature_k
    if kelvin is None:
        msg = "the model needs a temperature: conditions.temperature_k, or one in each step"
        raise _RefusalError(msg)
    molality = composition.molality_mol_kg
    impermeant = sum(osmoles * molality.get(key, 0.0) for key, osmoles in _IMPERMEANT.items())
    permeating = step.fraction * molality[agent] if agent else 0.0
    return Bath(
        duration_min=step.duration_min,
        temperature_k=kelvin,
        agent_mol_kg=permeating if permeating > _NEGLIGIBLE_MOL_KG else 0.0,
        impermeant_osmol_kg=step.fraction * impermeant + step.impermeant_osmolality_osmol_kg,
    )


def _refuse_outside(baths: Sequence[Bath], cell: Cell) -> None:
    low, high = cell.temperature_k
    strange = [bath.temperature_k for bath in baths if not low - 1e-6 <= bath.temperature_k <= high + 1e-6]
    if strange:
        msg = f"{strange[0]:g} K is outside {low:g}-{high:g} K, where {cell.name} was measured"
        raise _RefusalError(msg)
    if any(bath.duration_min < MIN_STEP_MIN for bath in baths):
        msg = f"a step takes at least {MIN_STEP_MIN:g} min"
        raise _RefusalError(msg)
    if sum(bath.duration_min for bath in baths) > MAX_DURATION_MIN:
        msg = f"a protocol takes at most {MAX_DURATION_MIN:g} min"
        raise _RefusalError(msg)
    if any(bath.impermeant_osmol_kg + bath.agent_mol_kg > _MAX_OSMOL_KG for bath in baths):
        msg = f"past {_MAX_OSMOL_KG:g} osmol/kg solutions are far from ideal"
        raise _RefusalError(msg)


def _membrane(kelvin: float, cell: Cell, agent: str | None, agent_l_mol: float, shape: _Shape) -> Membrane:
    """Return the membrane in four variants: as it is, and with each uncertain number one standard error ahead."""
    water = cell.water_with(agent)
    solute = cell.agents[agent] if agent else None
    ahead = np.eye(4)[1:]
    return Membrane(
        water_um_min_atm=water.at(kelvin) * (1.0 + ahead[0] * water.error / water.value),
        agent_um_min=solute.at(kelvin) * (1.0 + ahead[1] * solute.error / solute.value) if solute else np.zeros(4),
        agent_l_mol=agent_l_mol,
        inactive_fraction=shape.inactive_fraction + ahead[2] * shape.inactive_error,
        surface_to_volume_per_um=shape.surface_to_volume_per_um,
    )


def _parameters() -> tuple[Parameter, ...]:
    return (
        Parameter("cells", "isotonic osmolality", ISOTONIC_OSMOL_KG, "osmol/kg", FROM_MEMORY, seen=False),
        Parameter("cells", "bursting volume", BURSTING_VOLUME, "1", FROM_MEMORY, seen=False),
        *(item for cell in CELLS for item in _of_cell(cell)),
    )


def _of_cell(cell: Cell) -> list[Parameter]:
    waters = [("Lp", cell.water)] + [
        (f"Lp beside {solutes.NAMES[key]}", value) for key, value in cell.water_beside.items()
    ]
    agents = [(f"Ps of {solutes.NAMES[key]}", value) for key, value in cell.agents.items()]
    found = [
        Parameter(cell.name, f"{name} at {value.at_k:g} K", value.value, unit, value.source, seen=True)
        for rows, unit in ((waters, "um/(min atm)"), (agents, "um/min"))
        for name, value in rows
    ]
    found += [
        Parameter(cell.name, f"Ea of {name}", value.activation_kcal_mol, "kcal/mol", value.source, seen=True)
        for name, value in waters + agents
        if value.activation_kcal_mol is not None
    ]
    if cell.inactive_fraction:
        found.append(
            Parameter(cell.name, "inactive fraction", cell.inactive_fraction[0], "1", cell.water.source, seen=True)
        )
    return found


_UNITS: Final = {"cell_volume": "1", "cell_volume_minimum": "1", "cell_volume_maximum": "1"}
TWO_PARAMETER: Final = Model(
    name="two_parameter_transport",
    version="1",
    title="Two-parameter membrane transport: cell volume in a protocol of baths",
    properties=_UNITS,
    equation=(
        "dVw/dt = -Lp A R T (M_ext - M_int); dNs/dt = Ps A (m_ext - m_int); V = Vb + Vw + vs Ns; "
        "P(T) = P_ref exp(-Ea/R (1/T - 1/T_ref))"
    ),
    parameters=_parameters(),
    valid_for=(
        f"{', '.join(cell.name for cell in CELLS)}; at the temperatures of their measurements; no or one permeating "
        f"agent of those measured, to {_MAX_OSMOL_KG:g} osmol/kg; sugars, NaCl and KCl stay outside"
    ),
    reference="Kleinhans 1998, doi:10.1006/cryo.1998.2135",
    default_for=frozenset(_UNITS),
    answers=answers,
)
