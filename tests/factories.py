"""Builders of what tests store, with the boring parts filled in.

Structures were worked out beforehand by `app.science.structures.standardize`: a test of the database needs
no chemistry process, and says by name what it stores.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from app.domain.callers import Caller
from app.domain.experiments import ExperimentOutcome, NewExperiment, Result
from app.domain.mixtures import AmountUnit, Component, NewMixture
from app.domain.molecules import Identifier, MoleculeKind, NewMolecule, PropertyValue, Structure

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.plugins.api import Api

FINGERPRINT_BITS: Final = 2048

# name: canonical SMILES, InChI without its prefix, InChIKey, formula, molar mass in g/mol, fingerprint's bits set
_KNOWN: Final[dict[str, tuple[str, str, str, str, float, tuple[int, ...]]]] = {
    "dimethyl sulfoxide": (
        "CS(C)=O",
        "C2H6OS/c1-4(2)3/h1-2H3",
        "IAZDPXIOMUYVGZ-UHFFFAOYSA-N",
        "C2H6OS",
        78.136,
        (427, 552, 589, 650, 1057, 1265),
    ),
    "glycerol": (
        "OCC(O)CO",
        "C3H8O3/c4-1-3(6)2-5/h3-6H,1-2H2",
        "PEDCQBHIVMGVHV-UHFFFAOYSA-N",
        "C3H8O3",
        92.094,
        (1, 80, 222, 227, 482, 807, 1977, 2017, 2038),
    ),
    "ethylene glycol": (
        "OCCO",
        "C2H6O2/c3-1-2-4/h3-4H,1-2H2",
        "LYCAIKOWRPUZTN-UHFFFAOYSA-N",
        "C2H6O2",
        62.068,
        (80, 222, 473, 807, 813),
    ),
    "propylene glycol": (
        "CC(O)CO",
        "C3H8O2/c1-3(5)2-4/h3-5H,2H2,1H3",
        "DNIAPMSPPWPWGF-UHFFFAOYSA-N",
        "C3H8O2",
        76.095,
        (1, 80, 222, 227, 283, 482, 807, 913, 929, 1057),
    ),
    "propane-1,3-diol": (
        "OCCCO",
        "C3H8O2/c4-2-1-3-5/h4-5H,1-3H2",
        "YPFDHNVEDLHUCE-UHFFFAOYSA-N",
        "C3H8O2",
        76.095,
        (80, 222, 473, 807, 1100, 1130, 1911),
    ),
    "methanol": ("CO", "CH4O/c1-2/h2H,1H3", "OKKJLVBELUTLKV-UHFFFAOYSA-N", "CH4O", 32.042, (807, 1057, 1155)),
    "formamide": (
        "NC=O",
        "CH3NO/c2-1-3/h1H,(H2,2,3)",
        "ZHNUHDYFZUAESO-UHFFFAOYSA-N",
        "CH3NO",
        45.041,
        (383, 650, 694, 730, 1004, 1171),
    ),
}
KNOWN_NAMES: Final = tuple(_KNOWN)


def user(user_id: UUID | None = None) -> Caller:
    """Return a signed-in user as a token would name it."""
    user_id = user_id or uuid4()
    claims = json.dumps({"role": "authenticated", "sub": str(user_id)}, separators=(",", ":"))
    return Caller(role="authenticated", user_id=user_id, claims_json=claims)


def known_structure(name: str) -> Structure:
    """Return the structure of one of `KNOWN_NAMES`."""
    smiles, inchi, inchikey, formula, molar_mass_g_mol, bits = _KNOWN[name]
    return Structure(
        canonical_smiles=smiles,
        inchi=f"InChI=1S/{inchi}",
        inchikey=inchikey,
        parent_inchikey=inchikey,
        formula=formula,
        molar_mass_g_mol=molar_mass_g_mol,
        descriptors={"heavy_atom_count": sum(letter in "CNOS" for letter in smiles)},
        fingerprint="".join("1" if bit in bits else "0" for bit in range(FINGERPRINT_BITS)),
    )


def numbered_structure(number: int) -> Structure:
    """Return the straight alkane of so many carbons, with an InChIKey and a fingerprint made up from the number."""
    letters = "".join(chr(ord("A") + byte % 26) for byte in hashlib.sha256(str(number).encode()).digest())
    inchikey = f"{letters[:14]}-UHFFFAOYSA-N"
    return Structure(
        canonical_smiles="C" * number,
        inchi=f"InChI=1S/C{number}H{2 * number + 2}",
        inchikey=inchikey,
        parent_inchikey=inchikey,
        formula=f"C{number}H{2 * number + 2}",
        molar_mass_g_mol=round(12.011 * number + 1.008 * (2 * number + 2), 3),
        descriptors={"heavy_atom_count": number},
        fingerprint=f"{number:b}".rjust(FINGERPRINT_BITS, "0"),
    )


def new_molecule(name: str = "glycerol", **changes: Any) -> NewMolecule:
    """Return a molecule to store; a name of `KNOWN_NAMES` brings its structure along."""
    structure = changes.pop("structure", None) or known_structure(name)
    return NewMolecule(name=name, structure=structure, **changes)


def numbered_molecules(count: int, **changes: Any) -> list[NewMolecule]:
    """Return so many different molecules."""
    return [new_molecule(f"alkane {n}", structure=numbered_structure(n), **changes) for n in range(1, count + 1)]


def new_polymer(name: str = "polyvinyl alcohol", **changes: Any) -> NewMolecule:
    """Return a polymer to store: a name without a structure."""
    return NewMolecule(name=name, structure=None, kind=MoleculeKind.POLYMER, **changes)


def identifier(external_id: str = "56-81-5", source: str = "cas", kind: str = "cas_number") -> Identifier:
    """Return a molecule's name in another register."""
    return Identifier(source, kind, external_id)


def density(value: float = 1261.0, **changes: Any) -> PropertyValue:
    """Return a density in kg/m3."""
    return PropertyValue("density", numeric_value=value, unit="kg/m3", **changes)


def new_team(caller: Api, name: str = "Tissue bank") -> dict[str, Any]:
    """Make a team through HTTP and return it."""
    return _made(caller.post("/teams", {"name": name}))


def new_project(caller: Api, team_id: str, name: str = "Kidney slices", **fields: Any) -> dict[str, Any]:
    """Make a project through HTTP and return it."""
    return _made(caller.post("/projects", {"name": name, "team_id": team_id, **fields}))


def _made(response: TestResponse) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.get_json()
    return made


def component(molecule_id: UUID, amount: float = 2.3, unit: str = "mol/L") -> Component:
    """Return a component of a mixture."""
    return Component(molecule_id, amount, AmountUnit(unit))


def new_mixture(*components: Component | UUID, **changes: Any) -> NewMixture:
    """Return a mixture to store; of a bare key it has 2.3 mol/L."""
    made = tuple(item if isinstance(item, Component) else component(item) for item in components)
    return NewMixture(**{"name": "a mixture", "components": made, **changes})


def viability(value: float = 0.82, **changes: Any) -> Result:
    """Return a measured viability after thawing, as a fraction."""
    return Result("post_thaw_viability", value, "1", **changes)


def new_experiment(molecule_id: UUID | None = None, **changes: Any) -> NewExperiment:
    """Return a passed experiment to store, with one result."""
    passed = {"outcome": ExperimentOutcome.PASS, "results": (viability(),), "molecule_id": molecule_id}
    return NewExperiment(**{**passed, **changes})
