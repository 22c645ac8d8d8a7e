"""Records of the five resources with ties, nulls and numbers of many digits, of everybody or of one user."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from uuid import UUID

import psycopg

from tests import factories
from tests.database.rows import add, add_experiment, add_mixture, add_molecule
from tests.database.worlds import add_references

RECORDS: Final = 6
"""Of each resource."""
START: Final = dt.datetime(2026, 1, 1, 0, 0, 0, 123456, dt.UTC)
NUMBERS: Final = (0.1 + 0.2, 1e22, 2.5e-7, 100.0, 0.1 + 0.2, 1 / 3)


def add_records(admin: psycopg.Connection, owner: UUID | None) -> None:
    """Store records of each resource; without an owner they are public."""
    if owner is not None:
        add(admin, "user_profiles", id=owner)
    method, other = add_references(admin), add_references(admin)
    for number in range(RECORDS):
        moment = START + dt.timedelta(microseconds=number % 3)
        made = {"created_by": owner, "created_at": moment}
        kept: dict[str, Any] = {**made, "is_public": owner is None, "updated_at": moment}
        if number % 2:
            described = '{"a": 1.10, "b": [1, 2]}'
            molecule = add_molecule(admin, factories.KNOWN_NAMES[number], descriptors=described, **kept)
        else:
            molecule = add_polymer(admin, f'Äthyl "{number % 4}" \\ %s {owner} {number}', **kept)
        add_mixture(admin, molecule, **kept)
        started = moment if number % 2 else None
        add_experiment(admin, [molecule], molecule_id=molecule, started_at=started, **kept)
        value = NUMBERS[number]
        add(
            admin,
            "predictions",
            molecule_id=molecule,
            property_type=("freezing_point", "density")[number % 2],
            method_id=method["method"],
            value=value if number % 3 else None,
            unit="1",
            in_domain=number % 3 != 0,
            reason=None if number % 3 else "out of range",
            conditions='{"temperature_k": 298.150}',
            inputs_hash="0" * 64,
            **made,
        )
        add(
            admin,
            "toxicity_results",
            molecule_id=molecule,
            assay_id=other["assay"],
            endpoint_id=other["endpoint"],
            hit_call="active",
            flags=["noisy", 'a "flag"'],
            **({"potency": value, "potency_type": "AC50", "potency_unit": "uM"} if number % 3 else {}),
            **made,
        )


def add_polymer(admin: psycopg.Connection, name: str, **values: object) -> UUID:
    """Store a polymer, which has neither formula nor mass, and return its id."""
    statement = b"SELECT private.uuid_v7()"
    ((key,),) = admin.execute(statement).fetchall()
    add(admin, "molecules", id=key, name=name, kind="polymer", **values)
    return UUID(str(key))
