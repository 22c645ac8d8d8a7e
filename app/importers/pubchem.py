"""Compounds as PubChem's PUG REST and PUG View send them, with the field names of before and after 2025.

PubChem renamed its SMILES: `CanonicalSMILES` became `ConnectivitySMILES` and never says anything about
stereochemistry; `IsomericSMILES` became `SMILES` and does. Only the latter is taken as the structure at
once; without it the InChI is, and a connectivity SMILES only where PubChem does not state that the
compound has stereochemistry or isotopes. A record without a CID is refused although it may have a
structure: PubChem does not hold it, so it could neither be traced to its source nor found again when
the same page is imported twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.domain.molecules import Identifier, Notation, PropertyValue
from app.errors import InvalidError
from app.importers import pubchem_view, records
from app.importers.records import ParsedRecord, mapping

ACCEPTED: Final = (
    'a {"PropertyTable": ...}, {"PC_Compounds": [...]} or its bare array, a PUG View record of a compound '
    '({"Record": ...} or the bare record, whole or one section), and {"InformationList": ...} with synonyms'
)
FLAT_INCHIKEY_BLOCK: Final = "-UHFFFAOYSA-"
"""The second part of the InChIKey of a structure without stereochemistry and isotopes."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What one record says of a compound, whatever the shape it came in."""

    cid: str | None
    title: str | None = None
    iupac_name: str | None = None
    absolute_smiles: str | None = None
    connectivity_smiles: str | None = None
    inchi: str | None = None
    inchikey: str | None = None
    xlogp: float | None = None
    identifiers: tuple[Identifier, ...] = ()
    properties: tuple[PropertyValue, ...] = ()
    notes: tuple[str, ...] = ()
    without_structure: str = "The record has no SMILES and no InChI that can be read."


_Reader = Callable[[Mapping[str, object]], Stated]


def parse(payload: object) -> list[ParsedRecord]:
    """Return the compounds of a body in its order, each with its structure or the reason why not.

    Raises:
        InvalidError: The body is a fault, an answer that is not ready, or none of the accepted shapes.
    """
    read, rows = _shape(payload)
    return [
        _record(index, pointer, read(row)) if isinstance(row, dict) else _no_object(index, pointer)
        for index, (pointer, row) in enumerate(rows)
    ]


def _no_object(index: int, pointer: str) -> ParsedRecord:
    return ParsedRecord(index, pointer, None, None, None, None, refusal="This is not a JSON object.")


def _shape(payload: object) -> tuple[_Reader, list[tuple[str, object]]]:
    if isinstance(payload, list) and (not payload or any(map(_is_compound, payload))):
        return _compound, [(f"/{index}", row) for index, row in enumerate(payload)]
    body = mapping(payload)
    if _is_compound(payload):
        return _compound, [("", payload)]
    for pointer, read in (
        ("/PropertyTable/Properties", _table_row),
        ("/PC_Compounds", _compound),
        ("/InformationList/Information", _information),
    ):
        found = _at(body, pointer)
        if isinstance(found, list):
            return read, [(f"{pointer}/{index}", row) for index, row in enumerate(found)]
    for pointer in ("/Record", ""):
        if (found := _at(body, pointer)) is not None and mapping(found).get("RecordType") == "CID":
            return _view, [(pointer, found)]
    raise _refused(body)


def _at(body: Mapping[str, object], pointer: str) -> object:
    found: object = body
    for key in pointer.split("/")[1:]:
        found = mapping(found).get(key)
    return found


def _is_compound(row: object) -> bool:
    return "props" in mapping(row) or {"id", "atoms"} <= mapping(row).keys()


def _refused(body: Mapping[str, object]) -> InvalidError:
    fault = mapping(body.get("Fault"))
    if fault:
        said = [fault.get("Code"), fault.get("Message"), *records.items(fault.get("Details"))[:5]]
        words = ": ".join(word for value in said if (word := records.text(value, 500)))
        return InvalidError(f"PubChem answered with a fault, not with compounds: {words}.", code="upstream_fault")
    waiting = mapping(body.get("Waiting"))
    if waiting:
        key = records.text(waiting.get("ListKey"), 100) or "none"
        return InvalidError(
            f"PubChem had not finished its search: ask again with its list key ({key}) and post what comes then.",
            code="upstream_waiting",
        )
    return InvalidError(f"{_what_it_is(body)} Accepted from PubChem: {ACCEPTED}.", code="unknown_records")


def _what_it_is(body: Mapping[str, object]) -> str:
    for field, kind in (
        ("PC_Substances", "deposited substances, not compounds"),
        ("IdentifierList", "bare identifiers, without structures"),
        ("PC_AssayContainer", "assays, not compounds"),
        ("Table", "a table of assay results, not compounds"),
    ):
        if field in body:
            return f"These are {kind}."
    record = mapping(body.get("Record")) or body
    record_type = records.text(record.get("RecordType"), 20)
    return (
        f"This PUG View record is of type {record_type}, not CID."
        if record_type
        else "No PubChem compounds were found."
    )


def _table_row(row: Mapping[str, object]) -> Stated:
    return Stated(
        cid=records.register_number(row.get("CID")),
        title=records.text(row.get("Title"), records.MAX_NAME_CHARS),
        iupac_name=records.text(row.get("IUPACName"), records.MAX_NAME_CHARS),
        absolute_smiles=records.first(records.smiles(row.get("SMILES")), records.smiles(row.get("IsomericSMILES"))),
        connectivity_smiles=records.first(
            records.smiles(row.get("ConnectivitySMILES")), records.smiles(row.get("CanonicalSMILES"))
        ),
        inchi=records.inchi(row.get("InChI")),
        inchikey=records.inchikey(row.get("InChIKey")),
        xlogp=records.number(row.get("XLogP")),
        without_structure="The row has no SMILES and no InChI: ask PubChem for the properties SMILES,InChI,InChIKey.",
    )


def _compound(row: Mapping[str, object]) -> Stated:
    stated: dict[tuple[object, object], object] = {}
    for prop in map(mapping, records.items(row.get("props"))):
        urn, value = mapping(prop.get("urn")), mapping(prop.get("value"))
        label, name = records.text(urn.get("label"), 100), records.text(urn.get("name"), 100)
        stated.setdefault((label, name), next(iter(value.values()), None))
    return Stated(
        cid=records.register_number(mapping(mapping(row.get("id")).get("id")).get("cid")),
        title=records.text(stated.get(("IUPAC Name", "Traditional")), records.MAX_NAME_CHARS),
        iupac_name=records.text(stated.get(("IUPAC Name", "Preferred")), records.MAX_NAME_CHARS),
        absolute_smiles=records.first(*(records.smiles(stated.get(("SMILES", n))) for n in ("Absolute", "Isomeric"))),
        connectivity_smiles=records.first(
            *(records.smiles(stated.get(("SMILES", name))) for name in ("Connectivity", "Canonical"))
        ),
        inchi=records.inchi(stated.get(("InChI", "Standard"))),
        inchikey=records.inchikey(stated.get(("InChIKey", "Standard"))),
        xlogp=records.number(stated.get(("Log P", "XLogP3"), stated.get(("Log P", "XLogP3-AA")))),
        without_structure="The record has no SMILES and no InChI, as PubChem's 3D records: ask for the 2D record.",
    )


def _information(row: Mapping[str, object]) -> Stated:
    values = [value for value in records.items(row.get("Synonym")) if isinstance(value, str)]
    title = records.first(*(records.text(value, records.MAX_NAME_CHARS) for value in values[:1]))
    return Stated(
        cid=records.register_number(row.get("CID")),
        title=title,
        identifiers=records.synonyms(values, title),
        without_structure="The answer has synonyms only, without a structure.",
    )


def _view(record: Mapping[str, object]) -> Stated:
    view = pubchem_view.read_view(record)
    return Stated(
        cid=view.cid,
        title=view.title,
        iupac_name=view.first_text("Computed Descriptors", "IUPAC Name", records.MAX_NAME_CHARS),
        absolute_smiles=records.first(
            *(
                view.first_text("Computed Descriptors", heading, records.MAX_SMILES_CHARS)
                for heading in ("SMILES", "Isomeric SMILES")
            )
        ),
        connectivity_smiles=records.first(
            *(
                view.first_text("Computed Descriptors", heading, records.MAX_SMILES_CHARS)
                for heading in ("Connectivity SMILES", "Canonical SMILES")
            )
        ),
        inchi=records.inchi(view.first_text("Computed Descriptors", "InChI", records.MAX_INCHI_CHARS)),
        inchikey=records.inchikey(view.first_text("Computed Descriptors", "InChIKey", 27)),
        xlogp=records.number(
            records.first(*(view.first_text("Computed Properties", heading, 20) for heading in ("XLogP3", "XLogP3-AA")))
        ),
        identifiers=pubchem_view.identifiers(view),
        properties=pubchem_view.properties(view),
        notes=pubchem_view.notes(view),
        without_structure="These sections hold no structure: post the whole record, or a PropertyTable.",
    )


def _record(index: int, pointer: str, stated: Stated) -> ParsedRecord:
    notation, structure_text, stereo_note = _structure(stated)
    name = records.first(stated.title, stated.iupac_name, stated.cid and f"CID {stated.cid}")
    return ParsedRecord(
        index=index,
        pointer=pointer,
        name=name,
        notation=notation,
        structure_text=structure_text,
        stated_inchikey=stated.inchikey,
        identifiers=tuple(_identifiers(stated, name)),
        properties=tuple(_properties(stated)),
        source_record=stated.cid,
        refusal=_refusal(stated, structure_text),
        notes=stereo_note + stated.notes,
    )


def _structure(stated: Stated) -> tuple[Notation | None, str | None, tuple[str, ...]]:
    if stated.absolute_smiles:
        return "smiles", stated.absolute_smiles, ()
    if stated.inchi:
        return "inchi", stated.inchi, ()
    if not stated.connectivity_smiles or _is_more_than_connectivity(stated):
        return None, None, ()
    if stated.inchikey:
        return "smiles", stated.connectivity_smiles, ()
    note = "Only a connectivity SMILES was given: the stereochemistry is unknown."
    return "smiles", stated.connectivity_smiles, (note,)


def _is_more_than_connectivity(stated: Stated) -> bool:
    return stated.inchikey is not None and FLAT_INCHIKEY_BLOCK not in stated.inchikey


def _refusal(stated: Stated, structure_text: str | None) -> str | None:
    if not stated.cid:
        return "The record has no CID: PubChem does not hold this structure. Create it as a molecule of your own."
    if structure_text:
        return None
    if stated.connectivity_smiles:
        return (
            "Only a connectivity SMILES was given, but by its InChIKey the compound has stereochemistry or "
            "isotopes: ask PubChem for SMILES or InChI."
        )
    return stated.without_structure


def _identifiers(stated: Stated, name: str | None) -> Iterator[Identifier]:
    if stated.cid:
        yield Identifier("pubchem", "cid", stated.cid)
    if stated.iupac_name and stated.iupac_name != name:
        yield Identifier("name", "iupac_name", stated.iupac_name)
    yield from stated.identifiers


def _properties(stated: Stated) -> Iterator[PropertyValue]:
    if stated.xlogp is not None:
        reference = f"PubChem CID {stated.cid}" if stated.cid else "PubChem"
        yield PropertyValue(
            "xlogp3", numeric_value=stated.xlogp, unit="1", method="computed by PubChem (XLogP3)", reference=reference
        )
    yield from stated.properties
