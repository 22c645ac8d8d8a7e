"""Molecules as ChEMBL's web services send them, in the shapes of ChEMBL 20 to 37.

Over the releases numbers became texts, flags changed between `"1"`, 1 and true, and fields came and
went; null structures and null properties were always there. The canonical SMILES is taken before the
molfile and the InChI: it keeps stereochemistry and charges as ChEMBL drew them, whereas an InChI moves
hydrogens and cuts bonds to metals. Activities and mechanisms name molecules too, and some even carry a
SMILES; they are no molecule records and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from app.domain.molecules import Identifier, Notation, PropertyValue
from app.errors import InvalidError
from app.importers import records
from app.importers.records import ParsedRecord, mapping

ACCEPTED: Final = 'a page {"molecules": [...]}, an array of molecules, and a single molecule object'

_CHEMBL_ID: Final = re.compile(r"CHEMBL[1-9][0-9]{0,11}")
_MOLECULE_FIELDS: Final = frozenset(
    {
        "molecule_structures",
        "molecule_properties",
        "molecule_hierarchy",
        "molecule_synonyms",
        "molecule_type",
        "structure_type",
    }
)
_OTHER_RECORDS: Final = (
    ("activity_id", "activities"),
    ("mec_id", "mechanisms"),
    ("drugind_id", "drug indications"),
    ("cpd_str_alert_id", "structural alerts"),
    ("target_type", "targets"),
    ("doc_type", "documents"),
    ("assay_chembl_id", "assays"),
    ("chembl_db_version", "the service's status"),
    ("_shards", "Elasticsearch hits"),
)
"""A field that only records of that kind have; the order matters, for activities name assays."""

_PROPERTIES: Final = (
    ("cx_most_apka", "acidic_pka", "calculated by ChEMBL with ChemAxon: most acidic pKa"),
    ("cx_most_bpka", "basic_pka", "calculated by ChEMBL with ChemAxon: most basic pKa"),
    ("cx_logd", "log_d_ph_7_4", "calculated by ChEMBL with ChemAxon: log D at pH 7.4"),
)
"""Only what RDKit does not compute for us."""


def parse(payload: object) -> list[ParsedRecord]:
    """Return the molecules of a body in its order, each with its structure or the reason why not.

    Raises:
        InvalidError: The body is none of the accepted shapes.
    """
    return [_record(index, pointer, row) for index, (pointer, row) in enumerate(_rows(payload))]


def _rows(payload: object) -> list[tuple[str, object]]:
    if isinstance(payload, dict):
        page = payload.get("molecules")
        if isinstance(page, list):
            return [(f"/molecules/{index}", row) for index, row in enumerate(page)]
        if _is_molecule(payload):
            return [("", payload)]
    if isinstance(payload, list) and (not payload or any(map(_is_molecule, payload))):
        return [(f"/{index}", row) for index, row in enumerate(payload)]
    detail = f"{_what_it_is(payload)} Accepted from ChEMBL: {ACCEPTED}."
    raise InvalidError(detail, code="unknown_records")


def _is_molecule(row: object) -> bool:
    return not _MOLECULE_FIELDS.isdisjoint(mapping(row))


def _what_it_is(payload: object) -> str:
    message = records.text(mapping(payload).get("error_message"), 500)
    if message:
        return f"ChEMBL answered with an error: {message}."
    for row in _samples(payload):
        for field, kind in _OTHER_RECORDS:
            if field in row:
                return f"These are {kind}, not molecules."
    if "page_meta" in mapping(payload):
        return "This page of ChEMBL's holds no molecules."
    return "No ChEMBL molecules were found."


def _samples(payload: object) -> Iterator[Mapping[str, object]]:
    yield mapping(payload)
    lists = mapping(payload).values() if isinstance(payload, dict) else (payload,)
    for values in lists:
        yield from map(mapping, records.items(values)[:1])


def _record(index: int, pointer: str, value: object) -> ParsedRecord:
    row = mapping(value)
    structures = mapping(row.get("molecule_structures"))
    chembl_id = _chembl_id(row.get("molecule_chembl_id"))
    notation, structure_text = _structure(structures)
    synonyms = _synonyms(row)
    name = records.first(
        records.text(row.get("pref_name"), records.MAX_NAME_CHARS),
        *(synonym.external_id for synonym in synonyms[:1]),
        chembl_id,
    )
    return ParsedRecord(
        index=index,
        pointer=pointer,
        name=name,
        notation=notation,
        structure_text=structure_text,
        stated_inchikey=records.inchikey(structures.get("standard_inchi_key")),
        identifiers=_identifiers(row, chembl_id) + tuple(s for s in synonyms if s.external_id != name),
        properties=tuple(_properties(row, chembl_id)),
        source_record=chembl_id,
        refusal=_refusal(row, chembl_id, structure_text),
        notes=tuple(_notes(row, chembl_id)),
    )


def _chembl_id(value: object) -> str | None:
    return value if isinstance(value, str) and _CHEMBL_ID.fullmatch(value) else None


def _structure(structures: Mapping[str, object]) -> tuple[Notation | None, str | None]:
    if smiles := records.smiles(structures.get("canonical_smiles")):
        return "smiles", smiles
    if molfile := records.molfile(structures.get("molfile")):
        return "molfile", molfile
    if inchi := records.inchi(structures.get("standard_inchi")):
        return "inchi", inchi
    return None, None


def _synonyms(row: Mapping[str, object]) -> tuple[Identifier, ...]:
    spelled = [
        entry if isinstance(entry, str) else mapping(entry).get("molecule_synonym") or mapping(entry).get("synonyms")
        for entry in records.items(row.get("molecule_synonyms"))
    ]
    return records.synonyms(spelled, records.text(row.get("pref_name"), records.MAX_NAME_CHARS))


def _identifiers(row: Mapping[str, object], chembl_id: str | None) -> tuple[Identifier, ...]:
    own = (Identifier("chembl", "chembl_id", chembl_id),) if chembl_id else ()
    references = map(mapping, records.items(row.get("cross_references")))
    return own + tuple(dict.fromkeys(found for reference in references if (found := _cross_reference(reference))))


def _cross_reference(reference: Mapping[str, object]) -> Identifier | None:
    source, external_id = reference.get("xref_src"), reference.get("xref_id")
    if source in ("CAS", "CAS Registry") and (cas := records.cas_number(external_id)):
        return Identifier("cas", "cas_number", cas)
    # ChEMBL's plain "PubChem" references are substance numbers (SID), which are no compounds.
    if source == "PubChem Compound" and (cid := records.register_number(external_id)):
        return Identifier("pubchem", "cid", cid)
    return None


def _properties(row: Mapping[str, object], chembl_id: str | None) -> Iterator[PropertyValue]:
    calculated = mapping(row.get("molecule_properties"))
    reference = f"ChEMBL {chembl_id}" if chembl_id else "ChEMBL"
    for field, property_type, method in _PROPERTIES:
        if (value := records.number(calculated.get(field))) is not None:
            yield PropertyValue(property_type, numeric_value=value, unit="1", method=method, reference=reference)
    phase = records.number(row.get("max_phase"))
    # 0 in old releases and null in new ones mean that no phase was reached, -1 that it is not known.
    if phase is not None and 0 < phase <= 4:  # noqa: PLR2004
        yield PropertyValue("max_clinical_phase", numeric_value=phase, unit="1", reference=reference)


def _refusal(row: Mapping[str, object], chembl_id: str | None, structure_text: str | None) -> str | None:
    if not row:
        return "This is not a JSON object with fields."
    if not chembl_id:
        return "The record has no ChEMBL id, so its origin could not be kept."
    if structure_text:
        return None
    if row.get("molecule_structures") is not None:
        return "No canonical_smiles, molfile or standard_inchi of this record can be read."
    kind = records.text(row.get("molecule_type"), 100) or "not stated"
    polymer = ", a polymer" if records.flag(row.get("polymer_flag")) else ""
    return f"ChEMBL holds no structure for this record (molecule type: {kind}{polymer})."


def _notes(row: Mapping[str, object], chembl_id: str | None) -> Iterator[str]:
    parent = _chembl_id(mapping(row.get("molecule_hierarchy")).get("parent_chembl_id"))
    if parent and parent != chembl_id:
        yield f"ChEMBL's parent form of this molecule is {parent}."
    stated = mapping(row.get("molecule_structures")).get("standard_inchi_key")
    if stated is not None and not records.inchikey(stated):
        yield "The InChIKey that ChEMBL states is malformed and was not used."
