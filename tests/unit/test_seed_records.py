"""The project's starting data against chemistry, against itself, and against the list that it was drawn from."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest
from rdkit import Chem

from app.domain.molecules import MoleculeKind
from app.importers.records import cas_number
from app.services import seed_records
from app.services.seed_records import SeedMolecule, property_types, seed_molecules

PROJECT = Path(__file__).parents[2]
REAL = Path(os.environ.get("CRYOPROTECT_SHARED", PROJECT.parent / "shared" / "data"))
CPAS = REAL.parent / "science" / "cpas.csv"

MOLECULES = seed_molecules()
WITH_STRUCTURE = [molecule for molecule in MOLECULES if molecule.structure_text]

# Of what published mixtures need beside the list; and densities of another source than the list's.
FURTHER = (
    "1,3-Cyclohexanediol",
    "Creatine",
    "beta-Alanine",
    "L-Serine",
    "L-Threonine",
    "L-Isoleucine",
    "L-Phenylalanine",
    "Supercool X-1000",
    "Bovine serum albumin",
)
FURTHER_DENSITIES = {
    "N,N-Dimethylacetamide": 936.5,
    "Diethylene glycol": 1114.7,
    "Triethylene glycol": 1119.4,
    "1,4-Butanediol": 1014.3,
    "Sucrose": 1587.7,
}
LISTED = [molecule for molecule in MOLECULES if molecule.name not in FURTHER]

needs_cpas = pytest.mark.skipif(not CPAS.is_file(), reason=f"the list that the seed was drawn from is not here: {CPAS}")


def by_name(name: str) -> SeedMolecule:
    return next(molecule for molecule in MOLECULES if molecule.name == name)


def register(molecule: SeedMolecule, source: str) -> list[tuple[str, bool]]:
    return [(i.external_id, i.verified) for i in molecule.identifiers if i.source == source]


def numbers(molecule: SeedMolecule, property_type: str) -> list[tuple[float | None, bool]]:
    return [(v.numeric_value, v.verified) for v in molecule.properties if v.property_type == property_type]


def cpas() -> dict[str, dict[str, str]]:
    with CPAS.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: row for row in csv.DictReader(lines)}


def test_there_are_sixty_nine_molecules_of_which_ten_are_polymers_without_structure():
    kinds = Counter((molecule.kind, molecule.structure_text is not None) for molecule in MOLECULES)

    assert kinds == {(MoleculeKind.MOLECULE, True): 59, (MoleculeKind.POLYMER, False): 10}


@pytest.mark.parametrize("molecule", WITH_STRUCTURE, ids=lambda molecule: molecule.name)
def test_a_structure_has_the_inchikey_that_is_stated(molecule: SeedMolecule):
    inchikey = Chem.MolToInchiKey(Chem.MolFromSmiles(molecule.structure_text))  # type: ignore[no-untyped-call]

    assert molecule.notation == "smiles"
    assert inchikey == molecule.stated_inchikey


@pytest.mark.parametrize("molecule", MOLECULES, ids=lambda molecule: molecule.name)
def test_every_molecule_and_every_value_says_where_it_is_from(molecule: SeedMolecule):
    assert molecule.source
    assert all(value.reference and value.method for value in molecule.properties)


@pytest.mark.parametrize("molecule", MOLECULES, ids=lambda molecule: molecule.name)
def test_every_value_is_of_a_declared_type_and_unit(molecule: SeedMolecule):
    declared = {kind.name: kind for kind in property_types()}

    for value in molecule.properties:
        kind = declared[value.property_type]
        assert value.unit == kind.unit
        assert (value.numeric_value is not None) == (kind.value_kind == "numeric")
        assert (value.text_value is not None) == (kind.value_kind == "text")


@pytest.mark.parametrize("source", ["cas", "pubchem", "chembl", "dsstox"])
def test_a_register_number_is_used_once(source: str):
    used = [external_id for molecule in MOLECULES for external_id, _ in register(molecule, source)]

    assert max(Counter(used).values()) == 1


def test_a_structure_is_there_once():
    assert max(Counter(molecule.stated_inchikey for molecule in WITH_STRUCTURE).values()) == 1


def test_a_name_or_synonym_names_one_molecule_only():
    names = [molecule.name.casefold() for molecule in MOLECULES]
    synonyms = [i.external_id.casefold() for m in MOLECULES for i in m.identifiers if i.kind == "synonym"]

    assert [name for name, count in Counter(names + synonyms).items() if count > 1] == []


def test_every_molecule_has_one_cas_number_with_a_right_check_digit():
    for molecule in MOLECULES:
        ((cas, _),) = register(molecule, "cas")
        assert cas_number(cas) == cas


@pytest.mark.parametrize("wrong", ["CHEMBL1098659", "CHEMBL1487"])
def test_the_ids_of_water_and_atorvastatin_are_not_given_to_cryoprotectants(wrong: str):
    assert wrong not in [i.external_id for m in MOLECULES for i in m.identifiers]


def test_the_two_sources_of_a_melting_point_are_two_values():
    glycerol = [v for v in by_name("Glycerol").properties if v.property_type == "melting_point"]

    assert [value.numeric_value for value in glycerol] == [291.15, 293.15]
    assert len({value.reference for value in glycerol}) == 2


def test_a_remembered_glass_transition_keeps_its_doubt_in_words():
    (dmso,) = [v for v in by_name("Dimethyl sulfoxide").properties if v.property_type == "glass_transition_temperature"]
    (trehalose,) = [v for v in by_name("D-Trehalose").properties if v.property_type == "glass_transition_temperature"]

    assert (dmso.numeric_value, dmso.verified) == (150.0, False)
    assert "extrapolated" in (dmso.method or "")
    assert (trehalose.numeric_value, trehalose.verified) == (386.5, False)
    assert "380-393 K" in (trehalose.method or "")


def test_permeation_is_never_shown_as_verified():
    found = [v.verified for m in MOLECULES for v in m.properties if v.property_type == "membrane_permeation"]

    assert found == [False] * 69


def test_a_value_of_a_molecule_that_the_seed_does_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch):
    rows = {name: list(seed_records.rows_of(name)) for name in ("molecules.csv", "properties.csv")}
    monkeypatch.setattr(
        seed_records, "rows_of", lambda name: iter(rows[name][1:] if name == "molecules.csv" else rows[name])
    )

    with pytest.raises(ValueError, match="Dimethyl sulfoxide"):
        seed_molecules()


def test_property_types_are_declared_once_with_a_unit_where_and_only_where_the_value_is_a_number():
    kinds = property_types()

    assert max(Counter(kind.name for kind in kinds).values()) == 1
    assert all((kind.unit is not None) == (kind.value_kind == "numeric") and kind.description for kind in kinds)


def test_the_property_types_of_predictions_are_declared_with_their_units():
    units = {kind.name: kind.unit for kind in property_types()}

    assert units.items() >= {
        ("freezing_point", "K"),
        ("osmolality", "osmol/kg"),
        ("glass_transition_temperature", "K"),
        ("critical_cooling_rate", "K/min"),
        ("critical_warming_rate", "K/min"),
        ("toxicity_rate", "1/min"),
        ("cell_survival", "1"),
        ("cell_volume", "1"),
        ("density", "kg/m3"),
        ("viscosity", "Pa.s"),
        ("post_thaw_viability", "1"),
        ("ice_recrystallization_inhibition", "1"),
    }


@needs_cpas
def test_the_seed_has_the_molecules_of_the_list_and_what_published_mixtures_need_beside():
    assert [molecule.name for molecule in MOLECULES] == [*cpas(), *FURTHER]


@needs_cpas
@pytest.mark.parametrize("molecule", LISTED, ids=lambda molecule: molecule.name)
def test_identifiers_are_the_lists_and_verified_only_where_they_were_seen(molecule: SeedMolecule):
    row = cpas()[molecule.name]

    for source, id_column, seen_column in (
        ("pubchem", "pubchem_cid", "cid_seen"),
        ("chembl", "chembl_id", "chembl_seen"),
    ):
        for external_id, verified in register(molecule, source):
            assert external_id == row[id_column]
            assert not verified or row[seen_column].startswith("yes")
    ((cas, verified),) = register(molecule, "cas")
    assert cas == row["cas"]
    assert not verified or "from memory" not in row["source"]


@needs_cpas
@pytest.mark.parametrize("molecule", LISTED, ids=lambda molecule: molecule.name)
def test_numbers_are_the_lists_and_verified_only_where_they_were_seen(molecule: SeedMolecule):
    row = cpas()[molecule.name]
    seen = row["seen"] == "yes"

    for property_type, columns in (
        ("melting_point", ("melting_point_K", "melting_point_alt_K")),
        ("density", ("density_kg_m3_298K",)),
    ):
        listed = [(float(row[column]), seen) for column in columns if row[column]]
        if property_type == "density" and molecule.name in FURTHER_DENSITIES:
            assert not listed
            listed = [(FURTHER_DENSITIES[molecule.name], True)]
        assert numbers(molecule, property_type) == listed
    remembered = numbers(molecule, "glass_transition_temperature")
    assert len(remembered) == bool(row["tg_K"])
    assert not any(verified for _, verified in remembered) or row["tg_seen"].startswith("yes")


def test_a_cid_that_was_seen_with_another_structure_is_not_verified():
    assert register(by_name("myo-Inositol"), "pubchem") == [("892", False)]
    assert register(by_name("Sucrose"), "pubchem") == [("5988", False)]
