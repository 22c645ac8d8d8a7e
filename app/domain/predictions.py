"""What tells one question to the models from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

_DIGITS: Final = 9


def inputs_hash(molality_mol_kg: Mapping[str, float], solvent: str, conditions: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a composition and its conditions, in hexadecimal.

    It is the same in whatever order and unit the composition was stated: molalities count to nine digits, which is
    more than anybody measures and less than a conversion of units may disturb.
    """
    said = {
        "molality_mol_kg": {key: _written(value) for key, value in molality_mol_kg.items()},
        "solvent": solvent.strip().casefold(),
        "conditions": _written(conditions),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def structure_hash(inchikey: str) -> str:
    """Return the SHA-256 of a molecule's structure, in hexadecimal."""
    return hashlib.sha256(json.dumps({"inchikey": inchikey}).encode()).hexdigest()


def _written(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, Mapping):
        return {name: _written(item) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    return value.strip().casefold() if isinstance(value, str) else f"{value:.{_DIGITS}g}"
