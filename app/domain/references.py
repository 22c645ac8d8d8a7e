"""Molecules as people refer to them: by id, by their number in a register, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.errors import InvalidError

_FORMS: Final = (
    ("id", re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII), str.lower),
    ("inchikey", re.compile(r"[a-z]{14}-[a-z]{10}-[a-z]", re.IGNORECASE | re.ASCII), str.upper),
    ("chembl:chembl_id", re.compile(r"chembl\d{1,12}", re.IGNORECASE | re.ASCII), str.upper),
    ("cas:cas_number", re.compile(r"\d{2,7}-\d{2}-\d", re.ASCII), str),
    ("dsstox:dtxsid", re.compile(r"dtxsid\d{1,15}", re.IGNORECASE | re.ASCII), str.upper),
    ("pubchem:cid", re.compile(r"0*\d{1,12}", re.ASCII), lambda text: str(int(text))),
)
_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Match:
    """A molecule found by one of its names."""

    kind: str
    value: str
    id: UUID
    name: str
    inchikey: str | None
    molar_mass_g_mol: float | None
    is_public: bool
    density_kg_m3: float | None = None
    """None where it is not known, or was not asked for."""


def keys_of(reference: str) -> list[tuple[str, str]]:
    """Return what a reference may mean as (kind, value) pairs of a lookup, the likeliest first.

    Whoever has not the spelling of a name at hand mostly errs in its capitals.
    """
    text = reference.strip()
    for kind, form, spelled in _FORMS:
        if form.fullmatch(text):
            return [(kind, spelled(text))]
    small = text.lower()
    first_capital = re.sub(r"[^\W\d_]", lambda match: match[0].upper(), small, count=1)
    spellings = dict.fromkeys([text, small, text.upper(), first_capital, small.title()])
    return [(kind, spelling) for kind in ("name", "name:synonym") for spelling in spellings]


def by_key(matches: Iterable[Match]) -> dict[tuple[str, str], list[Match]]:
    """Return what a lookup has found by the key that found it."""
    found: dict[tuple[str, str], list[Match]] = {}
    for match in matches:
        found.setdefault((match.kind, match.value), []).append(match)
    return found


def choose(reference: str, matches: Mapping[tuple[str, str], Sequence[Match]]) -> Match:
    """Return the molecule that a reference means, of all that a lookup has found `by_key`.

    Of several rows of one structure it means the public one.

    Raises:
        InvalidError: It means none that the caller may see, or several different ones.
    """
    found = next((matches[key] for key in keys_of(reference) if key in matches), [])
    if not found:
        msg = f"no molecule {reference!r} is visible to you"
        raise InvalidError(msg)
    if len({match.inchikey or match.id for match in found}) > 1:
        ids = ", ".join(str(match.id) for match in found[:_MAX_NAMED])
        msg = f"{reference!r} means several molecules; say which by its id: {ids}"
        raise InvalidError(msg)
    return max(found, key=lambda match: match.is_public)
