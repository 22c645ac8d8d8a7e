# ruff: noqa: RUF001 - the characters are those that people write
"""The free-text recipes of ML-for-CryoMN: every hard shape that the table has, and what must not be guessed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from app.domain.mixtures import AmountUnit
from app.importers import cryomn
from app.importers.cryomn import CryomnRow, Part, cooling_rate_of, doi_of, recipe_of, viability_of
from app.services.seed_records import seed_molecules

SHARED = Path(os.environ.get("CRYOPROTECT_SHARED", Path(__file__).parents[3] / "shared" / "data"))
TABLE = SHARED / "properties" / "cryomn_cryopreservative_data_2026_raw.csv"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason=f"the raw table is not here: {TABLE}")

HEADER = "All ingredients in cryoprotective solution,DMSO usage,Cooling rate,Viability,Source (DOI link)\n"
DMSO, EG, SUCROSE, TREHALOSE = "Dimethyl sulfoxide", "Ethylene glycol", "Sucrose", "D-Trehalose"


def parts(text: str) -> list[tuple[str, float, str]]:
    recipe = recipe_of(text)
    assert recipe.unread == ()
    return [(part.molecule, part.amount, part.unit.value) for part in recipe.parts]


def parse(*rows: str) -> list[CryomnRow]:
    return cryomn.parse(HEADER + "".join(f"{row}\n" for row in rows))


def test_a_quarter_molar_trehalose_is_a_quarter_molar():
    assert parts("1) 0.25 M trehalose in DMEM/Ham F-12") == [(TREHALOSE, 0.25, "mol/L")]


def test_sega_is_free_of_dmso_whatever_the_column_of_dmso_says():
    (row,) = parse(
        "MSCs: 300 mM Ethylene glycol + 1 mM Taurine + 1% Ectoine (SEGA 10°C).,10%,Optimal at 1°C/min.,96%,"
        " https://doi.org/10.1002/term.2175"
    )

    assert row.recipe.parts == (
        Part(EG, 0.3, AmountUnit.MOLARITY),
        Part("Taurine", 0.001, AmountUnit.MOLARITY),
        Part("Ectoine", 1.0, AmountUnit.MASS_VOLUME_PERCENT),
    )
    assert (row.is_read, row.doi, row.cooling_rate_k_min) == (True, "10.1002/term.2175", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10% DMSO", [(DMSO, 10, "%v/v")]),
        ("10%DMSO", [(DMSO, 10, "%v/v")]),
        ("2.5% DMSO + 30 mmol/L trehalose", [(DMSO, 2.5, "%v/v"), (TREHALOSE, 0.03, "mol/L")]),
        ("10% 1,2-propanediol + 2% BSA  in α-MEM",
         [("Propylene glycol", 10, "%v/v"), ("Bovine serum albumin", 2, "%w/v")]),
        ("1M DMSO, 1M acetamide, 3M Propylene glycol in PBS",
         [(DMSO, 1, "mol/L"), ("Acetamide", 1, "mol/L"), ("Propylene glycol", 3, "mol/L")]),
        ("Sucrose 0 mM, Mannitol 63 mM, Creatine 25 mM",
         [("D-Mannitol", 0.063, "mol/L"), ("Creatine", 0.025, "mol/L")]),
        ("Sucrose 150 mM, Glycerol 342mM, Creatine 12.5 mM (SGC)",
         [(SUCROSE, 0.15, "mol/L"), ("Glycerol", 0.342, "mol/L"), ("Creatine", 0.0125, "mol/L")]),
        ("PEG 1.5K (10 wt% in DMEM)", [("Poly(ethylene glycol)", 10, "%w/w")]),
        ("PEG 400 (10 wt% in DMEM）", [("Poly(ethylene glycol)", 10, "%w/w")]),
        ("50 mg/ml PEG 5000 in DMEM", [("Poly(ethylene glycol)", 50, "g/L")]),
        ("DMSO 10% in DMEM (control)", [(DMSO, 10, "%v/v")]),
        ("8% DMSO, 2% HES450", [(DMSO, 8, "%v/v"), ("Hydroxyethyl starch", 2, "%w/v")]),
        ("⍺-MEM 20% FBS + 30 mM Sucrose", [(SUCROSE, 0.03, "mol/L")]),
        ("50 mM Sucrose in electroporation buffer (10mM K2HPO4, 10mM KH2PO4, 1mM MgCl2)", [(SUCROSE, 0.05, "mol/L")]),
        ("10 µM S1P+0.05 M glucose, 0.05 M sucrose,and 1.5 M ethylene glycol(cocktail solution)((S1P→C ))",
         [("D-Glucose", 0.05, "mol/L"), (SUCROSE, 0.05, "mol/L"), (EG, 1.5, "mol/L")]),
        ("0.05 M glucose, 0.05 M sucrose, 1.5 M ethylene glycol, 0% FBS",
         [("D-Glucose", 0.05, "mol/L"), (SUCROSE, 0.05, "mol/L"), (EG, 1.5, "mol/L")]),
        ("Vitrification Solution: 40% Ethylene Glycol (EG), 18% Ficoll 70, 0.3 M Sucrose, 20% FBS, in DPBS",
         [(EG, 40, "%v/v"), ("Ficoll PM-70", 18, "%w/v"), (SUCROSE, 0.3, "mol/L")]),
        ("Dulbecco's modified eagle medium, supplemented with 10% fetal calf serum, 5% DMSO", [(DMSO, 5, "%v/v")]),
    ],
)  # fmt: skip
def test_a_recipe_that_leaves_no_doubt_is_read(text: str, expected: list[tuple[str, float, str]]):
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("o.5M propylene glycol in in Mesencult complete medium", "o.5m propylene glycol"),
        ("HES + 5% DMSO + 4% HSA in L-15 media", "hes"),
        ("10% propylene glycol (PEG) in culture medium", "10% propylene glycol (peg"),
        ("10% PVP + 90% DMEM", "10% pvp"),
        ("2.5% DMSO + 30% FBS + 20 mg/ml polyampholyte", "20 mg/ml polyampholyte"),
        ("electroporation buffer + 250 mM", "250 mm"),
        ("30 mg/ml 80% Hydrolysed PVA in DMEM", "30 mg/ml 80% hydrolysed pva"),
        ("5% trehalose + 2.5% dextran in DMEM", "2.5% dextran"),
        ("20% hydroxychyl starch", "20% hydroxychyl starch"),
        ("2% Me2SO + Dextran-40 in saline", "dextran-40"),
        ("10% DMSO + 20% DMSO", "Dimethyl sulfoxide twice"),
        ("60% DMSO + 50% glycerol", "more than 100 %v/v"),
    ],
)
def test_a_word_that_means_several_things_or_none_leaves_the_recipe_unread(text: str, word: str):
    assert recipe_of(text).unread == (word,)


@pytest.mark.parametrize(
    "text",
    [
        "6% Hydroxyethyl Starch, 20% DMSO, in 50 mL cell suspension (final 10% DMSO)",
        "6% Hydroxyethyl Starch (1:1 dilution with thawed bag)",
        "Equilibration Solution: 20% Ethylene Glycol (EG), 20% Fetal Bovine Serum (FBS), in DPBS",
        "10%  DMSO solution was diluted with ADMEM supplemented with 10%  FBS",
    ],
)
def test_what_the_cells_were_not_frozen_in_is_not_read(text: str):
    assert recipe_of(text).parts == ()
    assert recipe_of(text).unread == (text,)


@pytest.mark.parametrize(
    ("text", "percent", "relation", "spread", "days"),
    [
        ("12.50%", 12.5, "=", None, None),
        ("91.4 ±2.7%", 91.4, "=", "2.7", None),
        ("(85.7 ±2.8%)", 85.7, "=", "2.8", None),
        (" 95.2% ± 0.9", 95.2, "=", "0.9", None),
        ("(94.18±3.97)%", 94.18, "=", "3.97", None),
        ("82.5 (±8.3) %", 82.5, "=", "8.3", None),
        ("99% ± 0.0%", 99, "=", "0.0", None),
        ("<10%", 10, "<", None, None),
        (">90%", 90, ">", None, None),
        ("80% at day 3", 80, "=", None, 3),
    ],
)
def test_one_percentage_is_a_viability(text: str, percent: float, relation: str, spread: str | None, days: int | None):
    viability = viability_of(text)

    assert viability is not None
    assert (viability.percent, viability.relation) == (percent, relation)
    assert (viability.spread, viability.assessed_after_days) == (spread, days)


@pytest.mark.parametrize(
    "text", ["", "Not mentioned ", "82.25", "750 mM: ~80% (day 3)\n", "110%", "60-70%", "5% and 6%"]
)
def test_anything_else_is_no_viability(text: str):
    assert viability_of(text) is None


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1°C/min  to −80°C", 1.0),
        ("-1 ◦C/min to −80 ◦C", 1.0),
        ("−1 ◦C/min from 25◦C to−80 ◦C", 1.0),
        ("-3900°C/min    ", 3900.0),
        ("with the cooling rate of 1 degree/min down to-80 °C", 1.0),
        ("3°C/min, 5/min, 10/min", None),
        ("~1.1°C/min to  –40°C then 0.7°C/min to  –50°C", None),
        ("105 ˚C/min to -150˚", None),
        ("Optimal at 1°C/min.\n", None),
        ("assume: -1°C/min to –90°C", None),
        ("same", None),
        ("Directly at -80C ", None),
    ],
)
def test_one_rate_that_was_applied_is_a_cooling_rate(text: str, rate: float | None):
    assert cooling_rate_of(text) == rate


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        (" https://doi.org/10.1002/term.2175", "10.1002/term.2175"),
        ("DOI: 10.1021/acsbiomaterials.6b00150", "10.1021/acsbiomaterials.6b00150"),
        ("10.1089=ten.tec.2009.0552", "10.1089/ten.tec.2009.0552"),
        ("https://dx.doi.org/10.1021/acsabm.0c00638\n", "10.1021/acsabm.0c00638"),
        ("https://doi.org/10.1089/TEN.TEC.2016.0288", "10.1089/ten.tec.2016.0288"),
        ("see above", None),
    ],
)
def test_a_doi_is_found_in_its_link(text: str, doi: str | None):
    assert doi_of(text) == doi


def test_a_doi_that_a_spreadsheet_counted_on_is_not_a_source():
    first, second = parse(
        "5% DMSO,5%,,50%,10.1007/s10616-016-0055-2", "10% DMSO,10%,same,45%,10.1007/s10616-016-0055-3"
    )

    assert first.faults == ()
    assert "counts on" in second.faults[0]


def test_the_same_row_again_is_another_record_and_keeps_its_key_in_a_longer_table():
    row = "10% DMSO,10%,,90%,10.1/a"
    keys = [item.key for item in parse(row, row)]

    assert len(set(keys)) == 2
    assert [item.key for item in parse("5% DMSO,5%,,80%,10.1/a", row, row)][1:] == keys


def test_another_table_is_refused():
    with pytest.raises(ValueError, match="no column"):
        cryomn.parse("name,value\na,1\n")


def test_every_molecule_that_a_recipe_may_name_is_in_the_seed():
    known = {molecule.name for molecule in seed_molecules()}

    assert {*cryomn._LIQUIDS.values(), *cryomn._SOLIDS.values()} <= known


@needs_table
def test_of_the_real_table_four_recipes_in_five_are_understood_and_two_rows_in_three_as_a_whole():
    rows = cryomn.parse(TABLE.read_text(encoding="utf-8-sig"))
    faults = Counter(fault.split(":")[0] for row in rows for fault in row.faults)

    assert len(rows) == 394
    assert sum(bool(row.recipe.parts) and not row.recipe.unread for row in rows) == 321
    assert sum(row.is_read for row in rows) == 254
    assert faults["recipe not understood"] + faults["recipe without a cryoprotectant"] == 394 - 321
    assert faults["no single viability in percent"] == 74


@needs_table
def test_the_real_rows_that_another_parser_got_wrong_are_right():
    rows = cryomn.parse(TABLE.read_text(encoding="utf-8-sig"))
    sega = next(row for row in rows if "SEGA" in row.text)
    trehalose = next(row for row in rows if row.text.startswith("1) 0.25 M trehalose"))

    assert DMSO not in [part.molecule for part in sega.recipe.parts]
    assert trehalose.recipe.parts == (Part(TREHALOSE, 0.25, AmountUnit.MOLARITY),)
    assert (trehalose.viability, trehalose.doi) == (cryomn.Viability(12.5), "10.1038/srep09596")


@needs_table
def test_no_amount_of_the_real_table_is_beyond_what_is_used():
    rows = cryomn.parse(TABLE.read_text(encoding="utf-8-sig"))
    molar = [part.amount for row in rows for part in row.recipe.parts if part.unit is AmountUnit.MOLARITY]
    percent = [p.amount for row in rows for p in row.recipe.parts if p.unit is AmountUnit.VOLUME_PERCENT]

    assert 0.001 <= min(molar) <= max(molar) <= 6.5
    assert 0.5 <= min(percent) <= max(percent) <= 40


def test_what_a_recipe_is_dissolved_in_stays_as_worded():
    recipe = recipe_of("4) 5% DMSO + 20% FBS in DMEM/Ham F-12")

    assert (recipe.carriers, recipe.additives) == (("DMEM/Ham F-12",), ("20% FBS",))
