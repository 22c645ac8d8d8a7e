"""Components as they are stated and as they are kept."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.domain.mixtures import MOLE_UNITS, AmountUnit, Component, StatedComponent, components_of
from app.domain.references import Match
from app.errors import InvalidError

GLYCEROL = Match("name", "Glycerol", UUID(int=1), "Glycerol", "PED", 92.094, is_public=True)
DMSO = Match("name:synonym", "DMSO", UUID(int=2), "Dimethyl sulfoxide", "IAZ", 78.136, is_public=True)
DEXTRAN = Match("name", "Dextran 40", UUID(int=3), "Dextran 40", None, None, is_public=True)
CID = Match("pubchem:cid", "753", GLYCEROL.id, "Glycerol", "PED", 92.094, is_public=True)
MATCHES = [GLYCEROL, DMSO, DEXTRAN, CID]


def stated(reference: str, amount: float = 1.0, unit: str = "mol/L") -> StatedComponent:
    return StatedComponent(reference, "molecule", amount, AmountUnit(unit))


def faults(*components: StatedComponent) -> dict[str, str]:
    with pytest.raises(InvalidError) as raised:
        components_of(components, MATCHES, "/components")
    return {fault.pointer: fault.detail for fault in raised.value.faults}


def test_components_are_kept_in_order_with_their_molecules_ids():
    kept = components_of([stated("DMSO", 3.1), stated("glycerol", 10, "%w/v")], MATCHES, "/components")

    assert kept == (
        Component(DMSO.id, 3.1, AmountUnit.MOLARITY),
        Component(GLYCEROL.id, 10, AmountUnit.MASS_VOLUME_PERCENT),
    )


def test_an_unknown_molecule_is_pointed_to():
    assert list(faults(stated("DMSO"), stated("unobtainium"))) == ["/components/1/molecule"]


def test_a_pointer_names_the_field_that_the_client_sent():
    unknown = StatedComponent(str(UUID(int=9)), "molecule_id", 1.0, AmountUnit.MOLARITY)

    assert list(faults(unknown)) == ["/components/0/molecule_id"]


def test_a_molecule_stands_once_whatever_it_is_called():
    found = faults(stated("glycerol"), stated("DMSO"), stated("753"))

    assert found == {"/components/2/molecule": "Glycerol stands twice in the mixture"}


@pytest.mark.parametrize("unit", sorted(MOLE_UNITS))
def test_moles_of_a_polymer_are_refused(unit: str):
    assert list(faults(stated("DMSO"), stated("Dextran 40", 0.1, unit))) == ["/components/1/unit"]


@pytest.mark.parametrize("unit", sorted(set(AmountUnit) - MOLE_UNITS))
def test_a_mass_or_volume_of_a_polymer_is_taken(unit: str):
    assert components_of([stated("Dextran 40", 0.1, unit)], MATCHES, "/components")


@pytest.mark.parametrize(("unit", "whole"), [("%w/w", 100), ("%v/v", 100), ("mole_fraction", 1)])
def test_shares_add_up_to_no_more_than_the_whole(unit: str, whole: float):
    half = stated("glycerol", whole / 2, unit)

    assert components_of([half, stated("DMSO", whole / 2, unit)], MATCHES, "/components")
    assert components_of([half, stated("DMSO", whole / 2 * (1 + 1e-10), unit)], MATCHES, "/components")
    assert list(faults(half, stated("DMSO", whole / 2 * 1.001, unit))) == ["/components/1/amount"]
    assert list(faults(stated("DMSO", whole * 1.001, unit))) == ["/components/0/amount"]


def test_the_component_with_which_the_shares_exceed_the_whole_is_pointed_to_once():
    found = faults(stated("glycerol", 60, "%w/w"), stated("DMSO", 60, "%w/w"), stated("Dextran 40", 60, "%w/w"))

    assert found == {"/components/1/amount": "the %w/w add up to 120, more than 100"}


def test_shares_of_different_units_are_not_added_up():
    assert components_of([stated("glycerol", 60, "%w/w"), stated("DMSO", 60, "%v/v")], MATCHES, "/components")


@pytest.mark.parametrize("unit", ["%w/v", "g/L", "mol/L", "mol/kg"])
def test_what_is_no_share_has_no_whole(unit: str):
    assert components_of([stated("DMSO", 110, unit)], MATCHES, "/components")


def test_everything_wrong_is_said_at_once_in_order():
    found = faults(stated("x"), stated("DMSO", 101, "%w/w"), stated("DMSO"), stated("Dextran 40", 1, "mol/kg"))

    assert list(found) == [
        "/components/0/molecule",
        "/components/1/amount",
        "/components/2/molecule",
        "/components/3/unit",
    ]
