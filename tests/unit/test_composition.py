# ruff: noqa: RUF001 - the characters are those that people write
"""Compositions in other units, against cases worked out by hand."""

from __future__ import annotations

from itertools import product

import pytest

from app.domain.mixtures import AmountUnit
from app.errors import InvalidError
from app.science.composition import WATER, Part, Substance, adds_volumes, assumption, converted, solvent_named

GLYCEROL = Substance("Glycerol", 92.094, 1258.0)
DMSO = Substance("Dimethyl sulfoxide", 78.136, 1096.2)
SUCROSE = Substance("Sucrose", 342.297)
DEXTRAN = Substance("Dextran 40")


def part(substance: Substance, amount: float, unit: str) -> Part:
    return Part(substance, amount, AmountUnit(unit))


def amounts(unit: str, *parts: Part, solvent: Substance = WATER) -> list[float]:
    return converted(parts, solvent, AmountUnit(unit))


# 100 g of solution: 10 g glycerol is 0.1085847 mol and 7.949126 mL, 90 g water is 4.9958368 mol and 90.266557 mL.
TEN_PERCENT = {
    "%w/w": 10.0,
    "mol/kg": 0.1085847 / 0.090,
    "mole_fraction": 0.1085847 / (0.1085847 + 4.9958368),
    "g/L": 10 / 0.098215683,
    "%w/v": 1 / 0.098215683,
    "mol/L": 0.1085847 / 0.098215683,
    "%v/v": 100 * 7.949126 / 98.215683,
}


@pytest.mark.parametrize(("source", "target"), [*product(TEN_PERCENT, repeat=2)])
def test_ten_percent_glycerol_is_the_same_solution_in_every_unit(source: str, target: str):
    (amount,) = amounts(target, part(GLYCEROL, TEN_PERCENT[source], source))

    assert amount == pytest.approx(TEN_PERCENT[target], rel=1e-6)


def test_units_of_different_wholes_are_converted_together():
    # To 1 kg of water, 1.002961746 L, come 2 mol of glycerol, 184.188 g or 0.146413355 L. DMSO is a tenth of the
    # volume of all, so the rest is nine tenths: 1.149375101 L of 1.277083446 L; DMSO is 0.127708345 L, 139.993888 g.
    mixed = (part(GLYCEROL, 2, "mol/kg"), part(DMSO, 10, "%v/v"))

    assert amounts("g/L", *mixed) == pytest.approx([184.188 / 1.277083446, 139.993888 / 1.277083446], rel=1e-7)
    assert amounts("mol/kg", *mixed) == pytest.approx([2, 139.993888 / 78.136], rel=1e-7)
    assert amounts("%w/w", *mixed) == pytest.approx([18.4188 / 1.324181888, 13.9993888 / 1.324181888], rel=1e-7)


@pytest.mark.parametrize("middle", [unit.value for unit in AmountUnit])
def test_there_and_back_is_where_it_began(middle: str):
    units = ("mol/L", "%w/w")
    there = amounts(middle, part(GLYCEROL, 2.3, "mol/L"), part(DMSO, 7, "%w/w"))
    moved = [part(substance, amount, middle) for substance, amount in zip((GLYCEROL, DMSO), there, strict=True)]

    back = [amounts(unit, *moved)[index] for index, unit in enumerate(units)]

    assert back == pytest.approx([2.3, 7], rel=1e-9)


@pytest.mark.parametrize(
    ("substance", "amount", "unit", "target", "expected"),
    [
        (DMSO, 3.1, "mol/L", "g/L", 242.2216),
        (SUCROSE, 0.5, "mol/L", "%w/v", 17.11485),
        (DEXTRAN, 10, "%w/v", "g/L", 100.0),
        (GLYCEROL, 10, "%v/v", "g/L", 125.8),
        (DEXTRAN, 10, "%w/w", "%w/w", 10.0),
        (Substance("unknown"), 2.0, "%v/v", "%v/v", 2.0),
    ],
)
def test_within_one_kind_of_whole_nothing_is_assumed_nor_known_of_the_rest(
    substance: Substance, amount: float, unit: str, target: str, expected: float
):
    parts = (part(substance, amount, unit),)

    assert amounts(target, *parts, solvent=Substance("an unknown medium")) == [expected]
    assert not adds_volumes(parts, AmountUnit(target))


def test_between_masses_and_moles_no_volume_is_assumed():
    sugar = part(SUCROSE, 10, "%w/w")

    (molality,) = amounts("mol/kg", sugar)

    assert molality == pytest.approx(100 / 342.297 / 0.9, rel=1e-9)
    assert not adds_volumes([sugar], AmountUnit.MOLALITY)
    assert adds_volumes([sugar], AmountUnit.MOLARITY)


@pytest.mark.parametrize(
    ("parts", "solvent", "target", "missing"),
    [
        ([part(SUCROSE, 10, "%w/w")], WATER, "mol/L", ["the density of Sucrose"]),
        ([part(DEXTRAN, 10, "%w/w")], WATER, "mole_fraction", ["the molar mass of Dextran 40"]),
        ([part(DEXTRAN, 10, "g/L")], WATER, "mol/L", ["the molar mass of Dextran 40"]),
        ([part(SUCROSE, 10, "g/L")], WATER, "%v/v", ["the density of Sucrose"]),
        ([part(GLYCEROL, 10, "%w/w")], Substance("saline"), "g/L", ["the density of saline"]),
        (
            [part(DEXTRAN, 10, "%w/w"), part(SUCROSE, 1, "mol/L")],
            Substance("saline"),
            "mole_fraction",
            [
                "the molar mass of Dextran 40",
                "the density of Dextran 40",
                "the density of Sucrose",
                "the molar mass of saline",
                "the density of saline",
            ],
        ),
    ],
)
def test_what_is_missing_is_named(parts: list[Part], solvent: Substance, target: str, missing: list[str]):
    with pytest.raises(InvalidError) as raised:
        amounts(target, *parts, solvent=solvent)

    assert [fault.detail for fault in raised.value.faults] == [f"{item} is not known" for item in missing]


@pytest.mark.parametrize(
    ("parts", "target", "reason"),
    [
        ([part(GLYCEROL, 20, "mol/L")], "%w/w", "more than the whole"),
        ([part(GLYCEROL, 60, "%w/w"), part(DMSO, 60, "%v/v")], "g/L", "more than the whole"),
        ([part(GLYCEROL, 100, "%v/v"), part(DMSO, 1, "mol/kg")], "%w/w", "more than the whole"),
        ([part(GLYCEROL, 100, "%w/w")], "mol/kg", "no solvent is left"),
        ([part(GLYCEROL, 50, "%w/w"), part(DMSO, 50, "%w/w")], "mol/kg", "no solvent is left"),
    ],
)
def test_what_cannot_be_made_is_refused(parts: list[Part], target: str, reason: str):
    with pytest.raises(InvalidError, match=reason):
        amounts(target, *parts)


def test_a_solution_without_solvent_has_shares_all_the_same():
    whole = (part(GLYCEROL, 50, "%w/w"), part(DMSO, 50, "%w/w"))

    # Of equal masses there are moles in the inverse ratio of the molar masses.
    assert amounts("mole_fraction", *whole) == pytest.approx([78.136 / 170.23, 92.094 / 170.23], rel=1e-9)


@pytest.mark.parametrize(
    "name",
    ["Euro-Collins", "PBS", "DMEM/Ham F-12", "culture medium", "LM5 or CI-VM-1", "dmem + pbs", "TCM199", "α-MEM"],
)
def test_a_carrier_counts_as_water_and_the_answer_says_so(name: str):
    ten = part(GLYCEROL, 10, "%w/w")
    carrier = solvent_named(name)

    assert amounts("mol/kg", ten, solvent=carrier) == amounts("mol/kg", ten)
    assert f"{name} counts as pure water" in (assumption([ten], carrier, AmountUnit.MOLALITY) or "")
    assert assumption([ten], WATER, AmountUnit.MOLALITY) is None
    assert assumption([part(GLYCEROL, 1, "mol/L")], carrier, AmountUnit.GRAMS_PER_LITRE) is None


@pytest.mark.parametrize(
    "name", ["carrier not stated", "fetal bovine serum", "90% fbs", "DMEM + 90% fbs", "silicone oil"]
)
def test_what_is_neither_water_nor_a_carrier_is_not_taken_for_water(name: str):
    with pytest.raises(InvalidError) as caught:
        amounts("mol/L", part(GLYCEROL, 10, "%w/w"), solvent=solvent_named(name))

    assert f"the density of {name} is not known" in caught.value.detail


def test_a_solvent_that_is_not_water_has_its_own_density_and_molar_mass():
    # 1 L of DMSO solution with 92.094 g glycerol: 73.207 mL glycerol and 926.793 mL DMSO, 1015.951 g.
    ethanolic = part(GLYCEROL, 1, "mol/L")

    assert amounts("mol/kg", ethanolic, solvent=DMSO) == pytest.approx([1 / 1.015951], rel=1e-5)
    assert amounts("mol/kg", ethanolic) == pytest.approx([1 / (0.926793 * 0.997047)], rel=1e-5)
