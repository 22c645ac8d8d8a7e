"""Molecules as people refer to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from app.domain.references import Match, by_key, choose, keys_of
from app.errors import InvalidError

KEY = "01a1fda4-e1c7-7cdb-9d93-c399124b6cd8"


def match(kind: str, value: str, **changes: Any) -> Match:
    facts = {"id": uuid4(), "name": "x", "inchikey": "A", "molar_mass_g_mol": 1.0, "is_public": False}
    return Match(kind, value, **{**facts, **changes})


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        (KEY, ("id", KEY)),
        (KEY.upper(), ("id", KEY)),
        ("PEDCQBHIVMGVHV-UHFFFAOYSA-N", ("inchikey", "PEDCQBHIVMGVHV-UHFFFAOYSA-N")),
        ("pedcqbhivmgvhv-uhfffaoysa-n", ("inchikey", "PEDCQBHIVMGVHV-UHFFFAOYSA-N")),
        ("chembl692", ("chembl:chembl_id", "CHEMBL692")),
        ("753", ("pubchem:cid", "753")),
        (" 00753 ", ("pubchem:cid", "753")),
        ("56-81-5", ("cas:cas_number", "56-81-5")),
    ],
)
def test_what_has_the_form_of_a_key_is_that_key_and_nothing_else(reference: str, key: tuple[str, str]):
    assert keys_of(reference) == [key]


@pytest.mark.parametrize(
    ("reference", "stored"),
    [
        ("glycerol", "Glycerol"),
        ("GLYCEROL", "Glycerol"),
        ("dmso", "DMSO"),
        ("1,3-propanediol", "1,3-Propanediol"),
        ("ethylene glycol", "Ethylene glycol"),
        ("n,n-dimethylformamide", "N,N-Dimethylformamide"),
        ("Me2SO", "Me2SO"),
        ("Éthanol", "éthanol"),
    ],
)
def test_a_name_is_found_with_other_capitals(reference: str, stored: str):
    assert {("name", stored), ("name:synonym", stored)} <= set(keys_of(reference))


def test_a_name_as_it_is_spelled_goes_before_other_capitals_and_names_before_synonyms():
    keys = keys_of("CO")

    assert keys[0] == ("name", "CO")
    assert [kind for kind, _ in keys] == sorted(kind for kind, _ in keys)
    assert len(keys) == len(set(keys))


def test_the_spelling_that_is_meant_wins():
    cobalt = match("name", "Co", inchikey="COBALT")
    oxide = match("name", "CO", inchikey="OXIDE")

    assert choose("Co", by_key([oxide, cobalt])) == cobalt
    assert choose("CO", by_key([cobalt, oxide])) == oxide


def test_a_name_goes_before_anothers_synonym():
    named, synonym = match("name", "PG", inchikey="A"), match("name:synonym", "PG", inchikey="B")

    assert choose("PG", by_key([synonym, named])) == named


def test_of_several_rows_of_one_structure_the_public_one_is_meant():
    own, public = match("name", "Glycerol"), match("name", "Glycerol", is_public=True)

    assert choose("Glycerol", by_key([own, public])) == public
    assert choose("Glycerol", by_key([public, own])) == public


def test_a_name_of_several_structures_is_refused_with_their_ids():
    first, second = (match("name:synonym", "MPD", id=UUID(int=n), inchikey=str(n)) for n in (1, 2))

    with pytest.raises(InvalidError, match=f"several molecules.*{first.id}, {second.id}"):
        choose("MPD", by_key([first, second]))


def test_two_polymers_of_one_name_are_two_molecules():
    polymers = [match("name:synonym", "PVP", inchikey=None, molar_mass_g_mol=None) for _ in range(2)]

    with pytest.raises(InvalidError, match="several"):
        choose("PVP", by_key(polymers))


def test_what_a_lookup_of_others_has_found_is_not_meant():
    with pytest.raises(InvalidError, match="no molecule 'glycerol' is visible"):
        choose("glycerol", by_key([match("name", "Methanol"), match("cas:cas_number", "glycerol")]))
