"""One PUG View record: a tree of headings whose leaves quote what hundreds of sources say.

The sources disagree: PubChem's page of ethylene glycol lists seven times the CAS number of poly(ethylene
glycol). A register number counts as the compound's own where more sources state it than any other; where
the first place is shared, all in it are kept as unverified; the others are only noted. "Related",
"Deprecated" and "Removed" headings are never read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.domain.molecules import Identifier, PropertyValue
from app.importers import records
from app.importers.measurement_text import DENSITY, MELTING_POINT, VISCOSITY, Quantity, readings
from app.importers.records import mapping

MAX_SECTIONS: Final = 10_000
MAX_VALUE_CHARS: Final = 2_000
MAX_PROPERTIES: Final = 200

_MEASURED: Final = {"Melting Point": MELTING_POINT, "Density": DENSITY, "Viscosity": VISCOSITY}
_LD50_HEADINGS: Final = ("Non-Human Toxicity Values", "Toxicity Data")
_ORAL_LD50: Final = re.compile(r"(?i)(?=.*\bLD50\b)(?=.*\boral\b)")
_DTXSID: Final = re.compile(r"DTXSID[0-9]{2,15}")
_CHEMBL_ID: Final = re.compile(r"CHEMBL[1-9][0-9]{0,11}")
_REGISTERS: Final = (
    ("CAS", "cas", "cas_number", records.cas_number),
    ("DSSTox Substance ID", "dsstox", "dtxsid", lambda value: value if _DTXSID.fullmatch(value) else None),
    ("ChEMBL ID", "chembl", "chembl_id", lambda value: value if _CHEMBL_ID.fullmatch(value) else None),
)

Information = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class View:
    """One record's tree laid flat: the entries under each (parent heading, heading)."""

    cid: str | None
    title: str | None
    leaves: Mapping[tuple[str, str], list[Information]]
    sources: Mapping[str, str]
    """Name of each source by its number in the record."""

    def entries(self, parent: str, heading: str) -> list[Information]:
        """Return the entries under a heading, in PubChem's order."""
        return self.leaves.get((parent, heading), [])

    def first_text(self, parent: str, heading: str, max_chars: int) -> str | None:
        """Return the first readable text under a heading."""
        for entry in self.entries(parent, heading):
            for words in _texts(entry, max_chars):
                return words
        return None


def read_view(record: Mapping[str, object]) -> View:
    """Return a whole record, or the section of it that was asked for."""
    return View(
        cid=records.register_number(record.get("RecordNumber")),
        title=records.text(record.get("RecordTitle"), records.MAX_NAME_CHARS),
        leaves=_leaves(record),
        sources=_sources(record),
    )


def identifiers(view: View) -> tuple[Identifier, ...]:
    """Return the register numbers that most sources state, then the synonyms."""
    registers = [
        Identifier(source, kind, number, verified=len(leading) == 1)
        for heading, source, kind, read in _REGISTERS
        for leading, _ in [_by_agreement(view, heading, read)]
        for number in leading
    ]
    return (*registers, *_synonyms(view))


def notes(view: View) -> tuple[str, ...]:
    """Return what was left out: the register numbers that fewer sources state."""
    return tuple(
        f"PubChem's sources also state {heading} {', '.join(others[:20])}."
        for heading, _, _, read in _REGISTERS
        for _, others in [_by_agreement(view, heading, read)]
        if others
    )


def properties(view: View) -> tuple[PropertyValue, ...]:
    """Return the measured values, as numbers where their text leaves no doubt and as text otherwise."""
    return tuple(dict.fromkeys([*_measured(view), *_oral_ld50(view)]))[:MAX_PROPERTIES]


def _leaves(record: Mapping[str, object]) -> dict[tuple[str, str], list[Information]]:
    leaves: dict[tuple[str, str], list[Information]] = {}
    waiting = [("", record)]
    for _ in range(MAX_SECTIONS):
        if not waiting:
            break
        parent, section = waiting.pop()
        heading = records.text(section.get("TOCHeading"), 200) or ""
        entries = [mapping(entry) for entry in records.items(section.get("Information"))]
        leaves.setdefault((parent, heading), []).extend(entries)
        waiting += [(heading, mapping(child)) for child in reversed(records.items(section.get("Section")))]
    return leaves


def _sources(record: Mapping[str, object]) -> dict[str, str]:
    named: dict[str, str] = {}
    for reference in map(mapping, records.items(record.get("Reference"))):
        number = records.register_number(reference.get("ReferenceNumber"))
        name = records.text(reference.get("SourceName"), 300)
        if number and name:
            named.setdefault(number, name)
    return named


def _texts(entry: Information, max_chars: int) -> Iterator[str]:
    value = mapping(entry.get("Value"))
    unit = records.text(value.get("Unit"), 50)
    strings = [mapping(part).get("String") for part in records.items(value.get("StringWithMarkup"))]
    numbers = [records.number(part) for part in records.items(value.get("Number"))]
    strings += [f"{number:.15g} {unit or ''}" for number in numbers if number is not None]
    yield from (words for string in strings if (words := records.text(string, max_chars)))


def _by_agreement(view: View, heading: str, read: Callable[[str], str | None]) -> tuple[list[str], list[str]]:
    """Return the numbers that most sources state, more than one where they are even, and the others."""
    texts = [words for entry in view.entries("Other Identifiers", heading) for words in _texts(entry, 100)]
    counts = Counter(number for words in texts if (number := read(words)))
    most = max(counts.values(), default=0)
    return [number for number in counts if counts[number] == most], [n for n in counts if counts[n] < most]


def _synonyms(view: View) -> tuple[Identifier, ...]:
    texts = [
        words
        for heading in ("MeSH Entry Terms", "Depositor-Supplied Synonyms")
        for entry in view.entries("Synonyms", heading)
        for words in _texts(entry, records.MAX_NAME_CHARS)
        if not _is_register_number(words)
    ]
    return records.synonyms(texts, view.title)


def _is_register_number(words: str) -> bool:
    return bool(records.cas_number(words) or _DTXSID.fullmatch(words) or _CHEMBL_ID.fullmatch(words))


def _measured(view: View) -> Iterator[PropertyValue]:
    for heading, quantity in _MEASURED.items():
        for entry in view.entries("Experimental Properties", heading):
            for words in _texts(entry, MAX_VALUE_CHARS):
                yield from _values(quantity, words, _reference(view, entry))


def _values(quantity: Quantity, words: str, reference: str) -> Iterator[PropertyValue]:
    found = readings(quantity, words)
    for reading in found:
        yield PropertyValue(
            quantity.property_type,
            numeric_value=reading.value,
            unit=quantity.unit,
            method=f'reported as "{reading.words}"',
            reference=reference,
        )
    if not found:
        yield PropertyValue(quantity.text_property_type, text_value=words, reference=reference)


def _oral_ld50(view: View) -> Iterator[PropertyValue]:
    for heading in _LD50_HEADINGS:
        for entry in view.entries("Toxicological Information", heading):
            for line in _lines(entry):
                if _ORAL_LD50.match(line):
                    yield PropertyValue("oral_ld50", text_value=line, reference=_reference(view, entry))


def _lines(entry: Information) -> Iterator[str]:
    for part in records.items(mapping(entry.get("Value")).get("StringWithMarkup")):
        string = mapping(part).get("String")
        if isinstance(string, str):
            yield from (words for line in string.splitlines() if (words := records.text(line, MAX_VALUE_CHARS)))


def _reference(view: View, entry: Information) -> str:
    number = records.register_number(entry.get("ReferenceNumber"))
    cited = [words for value in records.items(entry.get("Reference")) if (words := records.text(value, 5_000))]
    through = [view.sources[number]] if number and number in view.sources else []
    where = f"PubChem CID {view.cid}" if view.cid else "PubChem"
    return _shortened("; ".join([*cited, *through]), 1_900) + f" ({where})" if cited or through else where


def _shortened(words: str, max_chars: int) -> str:
    return words if len(words) <= max_chars else f"{words[: max_chars - 1]}…"
