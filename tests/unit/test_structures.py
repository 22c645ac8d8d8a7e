"""Structures as they are read, cleaned, measured and drawn, without any process in between."""

from __future__ import annotations

import csv
import gzip
import math
import re
from itertools import islice
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from chembl_structure_pipeline import get_parent_mol
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdinchi, rdMolDescriptors

from app.domain.molecules import Notation, Structure
from app.errors import StructureError
from app.science.drawing import empty_molblock, molblock, render_svg
from app.science.notations import MAX_LINE_CHARACTERS, MAX_MOLFILE_BYTES
from app.science.structures import cleaned, is_standard, piped, standardize
from app.science.sulfoxides import neutral_sulfoxide_query, neutral_sulfoxides

SHARED: Final = Path(__file__).resolve().parents[3] / "shared"
CPAS: Final = SHARED / "science" / "cpas.csv"
REAL_STRUCTURES: Final = SHARED / "data" / "scale" / "combined_unique_825k.tsv.gz"
EVERY_NTH: Final = 330

TREHALOSE: Final = "OC[C@H]1O[C@H](O[C@H]2O[C@H](CO)[C@@H](O)[C@H](O)[C@H]2O)[C@H](O)[C@@H](O)[C@@H]1O"
DMSO_KEY: Final = "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"
BETAINE_KEY: Final = "KWIUHFFTVRNATP-UHFFFAOYSA-N"


def smiles(text: str) -> Structure:
    return standardize("smiles", text)


def refusal(notation: Notation, text: str) -> str:
    with pytest.raises(StructureError) as caught:
        standardize(notation, text)
    return caught.value.detail


def key_of(molecule: Chem.Mol) -> str:
    return str(rdinchi.MolToInchiKey(molecule))


def molfile(atoms: str, bonds: str = "", extra: str = "") -> str:
    """Return a V2000 molfile of atoms on a line, bonds as "1 2 1" triples and further property lines."""
    atom_lines = [f"{index:10.4f}    0.0000    0.0000 {symbol:<3} 0  0" for index, symbol in enumerate(atoms.split())]
    bond_lines = ["".join(f"{number:>3}" for number in bond.split()) for bond in filter(None, bonds.split(","))]
    counts = f"{len(atom_lines):>3}{len(bond_lines):>3}  0  0  0  0  0  0  0  0999 V2000"
    return "\n".join(["", "  test", "", counts, *atom_lines, *bond_lines, *filter(None, [extra]), "M  END", ""])


# The row is the form submitted.


@pytest.mark.parametrize("spelling", ["CS(=O)C", "CS(C)=O", "C[S+](C)[O-]", "C[S+]([O-])C", "[O-][S+](C)C"])
def test_dmso_is_stored_neutral_however_it_is_written(spelling: str):
    dmso = smiles(spelling)

    assert (dmso.canonical_smiles, dmso.inchikey, dmso.formula) == ("CS(C)=O", DMSO_KEY, "C2H6OS")
    assert dmso.molar_mass_g_mol == pytest.approx(78.136, abs=0.01)


def test_deuterated_dmso_keeps_its_isotopes_and_has_dmso_as_parent():
    labelled = smiles("[2H]C([2H])([2H])S(=O)C([2H])([2H])[2H]")

    assert labelled.inchikey != DMSO_KEY
    assert labelled.parent_inchikey == DMSO_KEY
    assert labelled.molar_mass_g_mol == pytest.approx(84.17, abs=0.01)
    assert Chem.MolFromSmiles(labelled.canonical_smiles).HasSubstructMatch(Chem.MolFromSmiles("CS(=O)C"))


def test_heavy_water_is_heavy_and_has_water_as_parent():
    heavy, light = smiles("[2H]O[2H]"), smiles("O")

    assert heavy.molar_mass_g_mol == pytest.approx(20.028, abs=0.01)
    assert heavy.inchikey != light.inchikey
    assert heavy.parent_inchikey == light.inchikey == light.parent_inchikey


def test_a_hydrate_keeps_its_water_and_has_the_anhydrous_sugar_as_parent():
    hydrate, anhydrous = smiles(f"{TREHALOSE}.O.O"), smiles(TREHALOSE)

    assert hydrate.molar_mass_g_mol == pytest.approx(378.3, abs=0.05)
    assert hydrate.formula == "C12H26O13"
    assert anhydrous.molar_mass_g_mol == pytest.approx(342.3, abs=0.05)
    assert hydrate.parent_inchikey == anhydrous.inchikey


def test_betaine_hydrochloride_keeps_its_chloride_and_has_betaine_as_parent():
    salt, betaine = smiles("C[N+](C)(C)CC(=O)O.[Cl-]"), smiles("C[N+](C)(C)CC(=O)[O-]")

    assert salt.molar_mass_g_mol == pytest.approx(153.61, abs=0.01)
    assert salt.inchikey != BETAINE_KEY
    assert salt.parent_inchikey == betaine.inchikey == betaine.parent_inchikey == BETAINE_KEY


def test_carnitine_hydrochloride_has_carnitine_with_its_stereo_centre_as_parent():
    assert smiles("C[N+](C)(C)C[C@H](O)CC(=O)O.[Cl-]").parent_inchikey == "PHIQHXFUZVPYII-ZCFIWIBFSA-N"


@pytest.mark.parametrize(
    ("text", "inchikey", "formula"),
    [
        ("[Na+].[Cl-]", "FAPWRFPIFSIZLT-UHFFFAOYSA-M", "ClNa"),
        ("C[N+](C)(C)CCO.[Cl-]", "SGMZJAMFUVOLNK-UHFFFAOYSA-M", "C5H14ClNO"),
    ],
    ids=["sodium chloride", "choline chloride"],
)
def test_a_salt_of_nothing_but_counter_ions_is_its_own_parent(text: str, inchikey: str, formula: str):
    salt = smiles(text)

    assert (salt.inchikey, salt.parent_inchikey, salt.formula) == (inchikey, inchikey, formula)


@pytest.mark.parametrize("form", ["CS(C)=O.Cl", "CS(C)=O.O", "[2H]C([2H])([2H])S(=O)C([2H])([2H])[2H].O"])
def test_dmso_is_a_compound_and_not_a_solvent_where_nothing_else_is_left(form: str):
    assert smiles(form).parent_inchikey == DMSO_KEY


def test_dmso_is_a_solvent_beside_a_drug():
    assert smiles("CS(C)=O.CNC(=O)c1ccccc1").parent_inchikey == smiles("CNC(=O)c1ccccc1").inchikey


def test_a_parent_is_never_a_bare_counter_ion():
    methoxide = smiles("C[O-].[Na+]")

    assert methoxide.parent_inchikey == methoxide.inchikey


def test_tartaric_acid_keeps_its_stereo_centres():
    assert smiles("O[C@H]([C@@H](O)C(=O)O)C(=O)O").canonical_smiles.count("@") > 0


@pytest.mark.parametrize(
    ("submitted", "stored"),
    [
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("CC(O)=N", "CC(N)=O"),
        ("CC[O-].[Na+]", "CC[O-].[Na+]"),
        ("[NH4+].[Cl-]", "Cl.N"),
        ("[CH3:7][OH:1]", "CO"),
        ("[H]OC([H])([H])[H]", "CO"),
    ],
)
def test_charges_nitro_groups_amides_and_labels_are_cleaned(submitted: str, stored: str):
    assert smiles(submitted).canonical_smiles == stored


@pytest.mark.parametrize(
    "text",
    [
        "CS=O",
        "[I]",
        "[I-]",
        "CC(=S)N[O-]",
        "[BH3-]NN[BH3-]",
        "CN1CC2CC(C1)CN(C)C2.F[P-](F)(F)(F)(F)F",
        "C[N+](C)(C)CC(=O)[O-].C[N+](C)(C)CCCS(=O)(=O)O",
    ],
)
def test_cleaning_never_makes_another_compound_of_what_was_submitted(text: str):
    submitted = Chem.MolFromSmiles(text)

    assert smiles(text).inchikey == key_of(submitted)


@pytest.mark.parametrize(
    ("ion", "neutral"),
    [
        ("CC(=O)[O-]", "CC(=O)O"),
        ("CC(=S)N[O-]", "CC(=S)NO"),
        ("CC[NH3+]", "CCN"),
        ("C[N+](C)(C)CC(=O)O", "C[N+](C)(C)CC(=O)[O-]"),
    ],
)
def test_an_ion_stays_an_ion_and_has_the_neutral_compound_as_parent(ion: str, neutral: str):
    stored, parent = smiles(ion), smiles(neutral)

    assert stored.descriptors["formal_charge"] in {-1, 1}
    assert stored.inchikey != parent.inchikey
    assert stored.parent_inchikey == parent.inchikey == parent.parent_inchikey


def test_a_formula_without_carbon_is_alphabetical():
    assert smiles("[NH4+].[Cl-]").formula == "ClH4N"


# Sulfoxides.


@pytest.mark.parametrize(
    ("charged", "neutral"),
    [
        ("C[S+]([O-])[S+](C)[O-]", "CS(=O)S(C)=O"),
        ("[O-][S+]1CC[S+]([O-])CC1", "O=S1CCS(=O)CC1"),
        ("C[S+]([O-])C[S+]([O-])CC", "CCS(=O)CS(C)=O"),
        ("[O-][s+]1cccc1", "O=S1C=CC=C1"),
        ("C[S+2](C)([O-])[O-]", "CS(C)(=O)=O"),
        ("C[S+]([O-])[O-]", "CS(=O)[O-]"),
    ],
)
def test_every_sulfoxide_of_a_molecule_is_turned_neutral(charged: str, neutral: str):
    turned = neutral_sulfoxides(Chem.MolFromSmiles(charged))

    assert Chem.MolToSmiles(turned) == Chem.MolToSmiles(Chem.MolFromSmiles(neutral))


@pytest.mark.parametrize("text", ["CS(C)(=O)=O", "CS(C)(=N)=O", "C[S+](C)(C)=O", "C[S+](C)C", "C[N+](C)(C)[O-]"])
def test_sulfones_sulfoximines_and_other_ions_are_left_alone(text: str):
    molecule = Chem.MolFromSmiles(text)

    assert neutral_sulfoxides(molecule) is molecule


@pytest.mark.parametrize("text", ["CC[S@](C)=O", "CC[S@@](C)=O", "CC[S@+](C)[O-]", "CC[S@@](C)=O.Cl"])
def test_a_sulfoxide_keeps_the_sense_of_its_stereo_centre(text: str):
    assert smiles(text).inchi == rdinchi.MolToInchi(Chem.MolFromSmiles(text))[0]


@pytest.mark.parametrize("pattern", ["C[S+](C)[O-]", "[#6][#16+][O-]", "[#6][S;+]([#6])-[O;-1;D1]", "[SX3+]-[O-]"])
def test_a_query_for_the_charged_sulfoxide_finds_the_stored_one(pattern: str):
    query = neutral_sulfoxide_query(Chem.MolFromSmarts(pattern))

    assert Chem.MolFromSmiles(smiles("C[S+](C)[O-]").canonical_smiles).HasSubstructMatch(query)


@pytest.mark.parametrize("pattern", ["[S,N;+]-[O-]", "[!S+]-[O-]", "[N+]-[O-]", "S=O"])
def test_a_query_that_leaves_element_or_charge_open_stays_as_it_is(pattern: str):
    query = Chem.MolFromSmarts(pattern)

    assert Chem.MolToSmarts(neutral_sulfoxide_query(query)) == Chem.MolToSmarts(query)


# What real data says.


@pytest.mark.skipif(not CPAS.is_file(), reason=f"needs {CPAS.name} of the shared data")
def test_the_cryoprotectants_have_the_inchikeys_that_are_stated_for_them():
    with CPAS.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["canonical_smiles"]]

    computed = {row["name"]: smiles(row["canonical_smiles"]).inchikey for row in rows}

    assert len(rows) == 52
    assert computed == {row["name"]: row["inchikey"] for row in rows}


@pytest.mark.skipif(not REAL_STRUCTURES.is_file(), reason=f"needs {REAL_STRUCTURES.name} of the shared data")
def test_what_skips_the_pipeline_is_what_the_pipeline_would_have_made_of_it():
    with gzip.open(REAL_STRUCTURES, mode="rt", encoding="utf-8") as file:
        texts = [line.split("\t")[0] for line in islice(file, 1, None, EVERY_NTH)]
    skipping = [molecule for molecule in map(Chem.MolFromSmiles, texts) if is_standard(molecule)]

    different = [
        Chem.MolToSmiles(molecule)
        for molecule in skipping
        if _by_the_short_way(molecule) != _through_the_pipeline(molecule)
    ]

    assert len(skipping) > 0.9 * len(texts) > 2000
    assert different == []


def _by_the_short_way(molecule: Chem.Mol) -> tuple[str, str]:
    stored = Chem.MolToSmiles(cleaned(molecule))
    return stored, key_of(Chem.MolFromSmiles(stored))


def _through_the_pipeline(molecule: Chem.Mol) -> tuple[str, str]:
    result = piped(molecule)
    parent, _ = get_parent_mol(result)
    Chem.SanitizeMol(parent)
    return Chem.MolToSmiles(neutral_sulfoxides(result)), key_of(parent)


@pytest.mark.skipif(not REAL_STRUCTURES.is_file(), reason=f"needs {REAL_STRUCTURES.name} of the shared data")
def test_real_structures_keep_their_inchikey_through_the_canonical_smiles():
    with gzip.open(REAL_STRUCTURES, mode="rt", encoding="utf-8") as file:
        rows = [line.split("\t")[:2] for line in islice(file, 1, None, 2 * EVERY_NTH)]
    standard = [(text, key) for text, key in rows if is_standard(Chem.MolFromSmiles(text))]

    found = [smiles(text) for text, _ in standard]

    assert [structure.inchikey for structure in found] == [key for _, key in standard]
    assert [key_of(Chem.MolFromSmiles(structure.canonical_smiles)) for structure in found] == [
        key for _, key in standard
    ]


GROUPS: Final = (
    "C", "O", "N", "F", "C(=O)O", "C(=O)[O-]", "[NH3+]", "[N+](C)(C)C", "S(=O)C", "[S+]([O-])C", "S(=O)(=O)N",
    "[N+](=O)[O-]", "N(=O)=O", "C#N", "c1ccccc1", "c1ccncc1", "[C@H](O)C", "[C@@H](N)C(=O)O", "/C=C/C", "C(O)=N",
    "[2H]", "[13CH3]", "OP(=O)(O)O", "B(O)O", "[S@](=O)C", "[Si](C)(C)C", "N=[N+]=[N-]", "[Na]", "[Cl-]",
)  # fmt: skip
COMPONENTS: Final = ("O", "[Na+].[Cl-]", "Cl", "[K+]", "[2H]O[2H]", "CS(C)=O", "OC(=O)C(O)C(O)C(=O)O", "[Mg+2]")
TREES: Final = st.recursive(
    st.sampled_from(GROUPS),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: "C" + "".join(f"({part})" for part in parts[:-1]) + parts[-1]
    ),
    max_leaves=6,
)
SMILES: Final = st.tuples(TREES, st.lists(st.sampled_from(COMPONENTS), max_size=2)).map(
    lambda drawn: ".".join([drawn[0], *drawn[1]])
)


@settings(max_examples=200, deadline=None)
@given(SMILES)
def test_standardizing_a_canonical_smiles_again_changes_nothing(text: str):
    try:
        once = smiles(text)
    except StructureError:
        assume(False)  # noqa: FBT003 - hypothesis' way to say: not this one

    assert smiles(once.canonical_smiles) == once


@settings(max_examples=100, deadline=None)
@given(SMILES)
def test_cleaning_keeps_every_atom_every_isotope_and_the_charge(text: str):
    submitted = Chem.MolFromSmiles(text)
    assume(submitted is not None)

    stored = Chem.MolFromSmiles(smiles(text).canonical_smiles)

    assert _composition(stored) == _composition(submitted)


def _composition(molecule: Chem.Mol) -> tuple[str, int]:
    return rdMolDescriptors.CalcMolFormula(molecule, separateIsotopes=True), Chem.GetFormalCharge(molecule)


# What follows from a structure.


def test_descriptors_carry_their_units_and_fit_into_json():
    glycerol = smiles("OCC(O)CO")

    assert glycerol.descriptors["hydroxyl_group_count"] == 3
    assert glycerol.descriptors["hydrogen_bond_donor_count"] == 3
    assert glycerol.descriptors["hydrogen_bond_acceptor_count"] == 3
    assert glycerol.descriptors["heavy_atom_count"] == 6
    assert glycerol.descriptors["rotatable_bond_count"] == 2
    assert glycerol.descriptors["fraction_csp3"] == 1
    assert glycerol.descriptors["tpsa_a2"] == pytest.approx(60.69)
    assert glycerol.descriptors["exact_mass_da"] == pytest.approx(92.047344)
    assert glycerol.descriptors["crippen_logp"] == pytest.approx(-1.6681)
    assert all(type(value) in {int, float} and math.isfinite(value) for value in glycerol.descriptors.values())


@pytest.mark.parametrize(("text", "count"), [("CC(=O)O", 0), ("Oc1ccccc1", 1), (TREHALOSE, 8), ("CO.O", 1)])
def test_hydroxyl_groups_are_those_of_alcohols_and_phenols(text: str, count: int):
    assert smiles(text).descriptors["hydroxyl_group_count"] == count


def test_the_fingerprint_is_2048_characters_of_which_alike_structures_share_most():
    glycol, longer, benzene = (smiles(text).fingerprint for text in ("OCCO", "OCCOCCO", "c1ccccc1"))

    assert {len(bits) for bits in (glycol, longer, benzene)} == {2048}
    assert set(glycol) == {"0", "1"}
    assert _shared(glycol, longer) > _shared(glycol, benzene)


def _shared(left: str, right: str) -> int:
    return sum(a == b == "1" for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        ("inchi", "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3"),
        ("inchi", " InChI=1S/C2H6OS/c1-4(2)3/h1-2H3\n"),
        ("molfile", molfile("C S C O", "1 2 1,2 3 1,2 4 2")),
        ("molfile", molfile("C S C O", "1 2 1,2 3 1,2 4 1", "M  CHG  2   2   1   4  -1")),
        ("molfile", molfile("C S C O", "1 2 1,2 3 1,2 4 2").replace("\n", "\r\n")),
        ("molfile", molfile("C S C O", "1 2 1,2 3 1,2 4 2") + "> <chembl_id>\nCHEMBL504\n\n$$$$\n"),
        ("smiles", "  CS(C)=O\n"),
    ],
)
def test_all_notations_lead_to_the_same_structure(notation: Notation, text: str):
    assert standardize(notation, text) == smiles("CS(C)=O")


def test_what_is_drawn_as_a_molfile_is_read_back_as_the_same_structure():
    stored = smiles(f"{TREHALOSE}.O.O")

    assert standardize("molfile", molblock(stored.canonical_smiles, "trehalose dihydrate")) == stored


# What is refused, and with which words.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CC(C)(C)(C)C", "Explicit valence for atom # 1 C, 5, is greater than permitted"),
        ("c1cccc1", "Can't kekulize mol"),
        ("C1CC", "unclosed ring"),
        ("CC(", "syntax error; check for mistakes around position 3"),
        ("[Xx]", "syntax error"),
    ],
)
def test_an_invalid_smiles_is_refused_with_rdkits_reason_and_nothing_else(
    text: str, reason: str, capfd: pytest.CaptureFixture[str]
):
    detail = refusal("smiles", text)

    assert reason in detail
    assert text not in detail
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["", " \n\t"])
@pytest.mark.parametrize("notation", ["smiles", "inchi", "molfile"])
def test_an_empty_text_is_refused(notation: Notation, text: str):
    assert refusal(notation, text).endswith("is empty.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CCO ethanol", "goes on after a blank"),
        ("CCO\tethanol", "goes on after a blank"),
        ("CCO |$_R1;;$|", "goes on after a blank"),
        ("C\nO", "goes on after a blank"),
        ("CO\x00", "U+0000 at position 3"),
        ("C\x1bO", "U+001B at position 2"),
        ("C\udcffO", "U+DCFF"),
        ("\u0421\u0421", "U+0421"),
        ("CC>>CO", "reaction"),
        ("C>O>N", "reaction"),
        ("C*", "placeholders"),
        ("[*:1]CO", "placeholders"),
        ("C~O", "placeholders or queries"),
        ("N->[Cu]", "dative"),
        ("C" * 1000, "1000 atoms; 999 is the most"),
        ("C" * (MAX_LINE_CHARACTERS + 1), "longer than 10,000 characters"),
        ("(" * 100_000 + ")" * 100_000, "longer than 10,000 characters"),
    ],
)
def test_a_smiles_that_is_more_or_less_than_one_structure_is_refused(text: str, reason: str):
    assert reason in refusal("smiles", text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DMSO_KEY, "An InChI starts with InChI=1S/"),
        ("InChI=1S/", "RDKit cannot read this InChI"),
        ("InChI=1S/nonsense", "RDKit cannot read this InChI"),
        ("InChI=1S/CH4/h1H4 methane", "goes on after a blank"),
        ("InChI=1S/C7H10N3O/c1-10-4-2-6(3-5-10)7(8)9-11/h2-5,11H,1H3,(H2,8,9)/q+1", "RDKit reads another structure"),
    ],
)
def test_an_inchi_that_does_not_lead_to_its_structure_is_refused(text: str, reason: str):
    assert reason in refusal("inchi", text)


STEREO_GROUP: Final = """
  test

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 4 3 0 0 0
M  V30 BEGIN ATOM
M  V30 1 C 0 0 0 0
M  V30 2 O 1 0 0 0
M  V30 3 F 0 1 0 0
M  V30 4 Cl -1 0 0 0
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 1 1 1 2 CFG=1
M  V30 2 1 1 3
M  V30 3 1 1 4
M  V30 END BOND
M  V30 BEGIN COLLECTION
M  V30 MDLV30/STERAC1 ATOMS=(1 1)
M  V30 END COLLECTION
M  V30 END CTAB
M  END
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (molfile("C O", "1 2 1") + "$$$$\n" + molfile("C N", "1 2 1"), "more than one record"),
        (molfile("C O", "1 2 1") + molfile("C N", "1 2 1"), "more than one record"),
        (molfile("C O", "1 2 1") + "$$$$\nthe rest", "more than one record"),
        ("$RXN\n" + molfile("C O", "1 2 1"), "reaction"),
        (molfile("C O", "1 2 1").replace("M  END\n", ""), "RDKit cannot read this molfile"),
        (molfile("C O", "1 2 1").replace("test", "te\x00st"), "U+0000"),
        (molfile("C O", "1 2 1").replace("test", "te\ud800st"), "surrogate"),
        (molfile("C A", "1 2 1"), "placeholders"),
        (molfile("C R#", "1 2 1", "M  RGP  1   2   1"), "placeholders"),
        (molfile("C O", "1 2 8"), "queries"),
        (molfile("N Cu", "1 2 9"), "dative"),
        (
            molfile("C C", "1 2 1", "M  STY  1   1 SRU\nM  SAL   1  1   1\nM  SMT   1 n"),
            "polymer",
        ),
        (STEREO_GROUP, "racemate"),
        (molfile("C", "") + " " * MAX_MOLFILE_BYTES, "longer than 200,000 bytes"),
        (molfile(""), "has no atoms"),
        ("M  END", "RDKit cannot read this molfile"),
    ],
)
def test_a_molfile_that_is_more_or_less_than_one_structure_is_refused(text: str, reason: str):
    assert reason in refusal("molfile", text)


def test_a_ring_of_999_atoms_is_read():
    assert smiles("C1" + "C" * 997 + "C1").descriptors["ring_count"] == 1


def test_a_smiles_nested_as_deeply_as_its_length_allows_is_refused_in_words():
    assert "extra open parentheses" in refusal("smiles", "C(" * 4999 + "C")
    assert "3301 atoms" in refusal("smiles", "C" + "(C" * 3300 + ")" * 3300)


# Pictures and molfiles.


def test_a_picture_is_well_formed_transparent_and_runs_nothing():
    svg = render_svg(TREHALOSE, 320, 240)

    root = ET.fromstring(svg)  # noqa: S314 - written by RDKit a line ago
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert root.get("width") == "320px"
    assert tags <= {"svg", "path", "text", "ellipse", "polygon", "line"}
    assert not re.search(r"\bon\w+=|href|<rect", svg)


def test_a_molblock_has_a_layout_its_name_and_the_chiral_flag():
    lines = molblock("C[C@H](N)C(=O)O", "L-alanine").splitlines()

    assert lines[0] == "L-alanine"
    assert lines[3].split()[4] == "1"
    assert lines[3].endswith("V2000")
    assert len({line[:20] for line in lines[4:10]}) == 6


@pytest.mark.parametrize("name", ["two\nlines", "$$$$", "M  END", "> <field>", "a\rb\x00c", "x" * 500, "\ud800"])
def test_a_name_cannot_break_out_of_the_first_line(name: str):
    block = molblock("CO", name)

    assert Chem.MolFromMolBlock(block).GetNumAtoms() == 2
    assert len(block.splitlines()) == 8
    assert not block.startswith(("$$$$", ">", "M  END"))
    assert len(block.splitlines()[0]) <= 80


def test_an_empty_molblock_has_a_name_and_no_atoms():
    block = empty_molblock("too large to draw")

    assert block.startswith("too large to draw\n")
    assert Chem.MolFromMolBlock(block).GetNumAtoms() == 0


def test_nothing_that_rdkit_says_reaches_stderr(capfd: pytest.CaptureFixture[str]):
    for text in ("[H+]", "CC[S+]([O-])C", "[2H]O[2H]", "CC(F)Cl", "[U](C)(C)(C)(C)(C)(C)C"):
        render_svg(smiles(text).canonical_smiles, 100, 100)
        molblock(text, "name")

    assert capfd.readouterr() == ("", "")
