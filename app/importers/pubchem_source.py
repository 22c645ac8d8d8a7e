"""PubChem as a source of records: its compounds by CID, name, InChIKey, formula or list key.

Properties come in batches. What a batch does not hold is refused under its own number, and a batch that cannot be
read is asked for in halves. Measured values are texts of PUG View, two requests a compound, and asked for only where
the import says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from app.errors import InvalidError, NotFoundError, UnavailableError
from app.importers import pubchem, records
from app.importers.records import ParsedRecord, mapping
from app.importers.sources import Page
from app.importers.upstream import BrokenAnswerError, Request, Upstream, check_alive, halved
from app.importers.windows import Numbers

ADDRESS: Final = "https://pubchem.ncbi.nlm.nih.gov/rest"
CIDS_PER_BATCH: Final = 150
KEYS_PER_BATCH: Final = 100
NAMES_PER_PAGE: Final = 25
MEASURED_PER_PAGE: Final = 25
MAX_LIST: Final = 100_000
POLLS: Final = 100
POLL_EVERY_S: Final = 3.0
KINDS: Final = ("cids", "names", "inchikeys", "formula", "listkey")
"""What an import may name compounds by, one of them."""
MEASUREMENTS: Final = "measurements"
_SHOWN_CIDS: Final = 10
_PROPERTIES: Final = "Title,IUPACName,SMILES,ConnectivitySMILES,InChI,InChIKey,XLogP"
_HEADINGS: Final = ("Experimental Properties", "Toxicological Information")
_ALIVE: Final = Request("/pug/compound/cid/962/property/InChIKey/JSON")
_FORMULA: Final = re.compile(r"[A-Za-z0-9]{1,200}")
_LIST_KEY: Final = re.compile(r"[0-9]{1,30}")
_R = TypeVar("_R")


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an import from PubChem, in their one form.

    Raises:
        InvalidError: They name no compounds, name them in two ways, or are none of ours.
    """
    if unknown := sorted(given.keys() - {*KINDS, MEASUREMENTS}):
        msg = f"PubChem is asked by {', '.join(KINDS)}, with or without {MEASUREMENTS}; not by {', '.join(unknown)}"
        raise InvalidError(msg)
    named = [kind for kind in KINDS if kind in given]
    if len(named) != 1:
        msg = f"name the compounds by one of {', '.join(KINDS)}"
        raise InvalidError(msg)
    measured = given.get(MEASUREMENTS, False)
    if not isinstance(measured, bool):
        msg = f"{MEASUREMENTS} is true or false"
        raise InvalidError(msg)
    return {named[0]: _CHECKS[named[0]](given[named[0]]), MEASUREMENTS: measured}


@dataclass(frozen=True, slots=True)
class PubChemSource:
    """Reads the compounds that a run's parameters name."""

    upstream: Upstream
    sleep: Callable[[float], None]

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        """Yield the pages behind the checkpoint.

        Raises:
            InvalidError: The parameters name no compounds, or a list that PubChem has forgotten.
            UnavailableError: PubChem does not answer.
        """
        del sha256
        named = options({key: value for key, value in parameters.items() if key in {*KINDS, MEASUREMENTS}})
        kind = next(iter(named))
        with_measurements = named[MEASUREMENTS]
        if kind in {"names", "inchikeys"}:
            wanted: list[str] = named[kind]
            read = self._by_name if kind == "names" else self._by_inchikey
            size = NAMES_PER_PAGE if kind == "names" else KEYS_PER_BATCH
            numbers = Numbers.of_ranges([(1, len(wanted))])
            found = numbers.pages(checkpoint, size, lambda window: read([(n, wanted[n - 1]) for n in window]))
        else:
            numbers = Numbers.parse(named[kind]) if kind == "cids" else self._listed(kind, named[kind])
            size = MEASURED_PER_PAGE if with_measurements else CIDS_PER_BATCH
            found = numbers.pages(checkpoint, size, self._by_cid)
        for page in found:
            yield replace(page, records=self._measured(page.records)) if with_measurements else page

    def _by_cid(self, cids: Sequence[int]) -> list[ParsedRecord]:
        return self._batched([(cid, str(cid)) for cid in cids], "cid", lambda record: record.source_record)

    def _by_inchikey(self, wanted: Sequence[tuple[int, str]]) -> list[ParsedRecord]:
        return self._batched(wanted, "inchikey", lambda record: record.stated_inchikey)

    def _batched(
        self, wanted: Sequence[tuple[int, str]], kind: str, key_of: Callable[[ParsedRecord], str | None]
    ) -> list[ParsedRecord]:
        """Return a record for each that is wanted; `key_of` is what tells which one a row answers."""

        def ask(part: Sequence[tuple[int, str]]) -> dict[str, list[ParsedRecord]]:
            asked = [key for _, key in part]
            return self._ask(_table(kind, ",".join(asked)), lambda payload: _grouped(payload, asked, key_of)) or {}

        found: list[ParsedRecord] = []
        for part, answer in halved(wanted, ask, self._check):
            for number, key in part:
                if isinstance(answer, BrokenAnswerError):
                    found.append(_refused(number, key, answer.detail))
                else:
                    found.append(_one(number, answer.get(key)) or _missing(number, kind, key))
        return found

    def _by_name(self, wanted: Sequence[tuple[int, str]]) -> list[ParsedRecord]:
        def ask(part: Sequence[tuple[int, str]]) -> list[ParsedRecord]:
            return self._ask(_table("name", part[0][1]), pubchem.parse) or []

        found = []
        for number, name in wanted:
            ((_, answer),) = halved([(number, name)], ask, self._check)
            if isinstance(answer, BrokenAnswerError):
                found.append(_refused(number, name, answer.detail))
            elif len(answer) > 1:
                found.append(_refused(number, name, _ambiguous(answer)))
            else:
                found.append(_one(number, answer) or _missing(number, "name", name))
        return found

    def _listed(self, kind: str, words: str) -> Numbers:
        """Return the CIDs of a search, which PubChem may be working on."""
        path = f"/pug/compound/formula/{words}/cids/JSON" if kind == "formula" else _list_path(words)
        for _ in range(POLLS):
            answer = self._ask(Request(path), _cids)
            if answer is None:
                if kind == "listkey":
                    msg = f"PubChem knows the list {words} no more: search again"
                    raise InvalidError(msg)
                return Numbers(())
            if isinstance(answer, list):
                return Numbers.of(answer)
            path = _list_path(answer)
            self.sleep(POLL_EVERY_S)
        raise UnavailableError("pubchem works on this search for too long", retry_after_s=60)

    def _measured(self, found: Sequence[ParsedRecord]) -> list[ParsedRecord]:
        """Return the records with what PUG View says was measured; where that fails, with a refusal beside it."""
        measured: list[ParsedRecord] = []
        for record in found:
            try:
                values = () if record.refusal else self._measurements(record.source_record or "")
            except BrokenAnswerError as error:
                self._check()
                why = f"the compound is imported, but not what was measured of it: {error.detail}"
                measured.append(_refused(record.index, record.source_record or "", why))
                values = ()
            measured.append(replace(record, properties=record.properties + values))
        return measured

    def _measurements(self, cid: str) -> tuple[Any, ...]:
        def read(payload: object) -> tuple[Any, ...]:
            (record,) = pubchem.parse(payload)
            if record.source_record != cid:
                msg = f"pubchem answered about CID {record.source_record} when asked about {cid}"
                raise BrokenAnswerError(msg)
            return record.properties

        path = f"/pug_view/data/compound/{cid}/JSON"
        sections = [self._ask(Request(path, {"heading": heading}), read) or () for heading in _HEADINGS]
        return tuple(value for section in sections for value in section)

    def _ask(self, request: Request, read: Callable[[object], _R]) -> _R | None:
        """Return what PubChem answers, None where it says that there is nothing."""
        try:
            return self.upstream.ask(request, read)
        except NotFoundError as error:
            if error.extra["has_json"]:
                return None
            # The page that a web server shows for an address that it does not know speaks of no compound.
            raise BrokenAnswerError(error.detail) from error

    def _check(self) -> None:
        check_alive(self.upstream, _ALIVE)


def _table(kind: str, keys: str) -> Request:
    return Request(f"/pug/compound/{kind}/property/{_PROPERTIES}/JSON", form={kind: keys})


def _list_path(key: str) -> str:
    return f"/pug/compound/listkey/{key}/cids/JSON"


def _cids(payload: object) -> list[int] | str:
    """Return the CIDs of a search that is done, or the key by which to ask for them again.

    Raises:
        BrokenAnswerError: It is neither.
    """
    key = mapping(mapping(payload).get("Waiting")).get("ListKey")
    if isinstance(key, str) and _LIST_KEY.fullmatch(key):
        return key
    stated = mapping(mapping(payload).get("IdentifierList")).get("CID")
    if not isinstance(stated, list):
        raise BrokenAnswerError("pubchem answered with neither CIDs nor a list key")
    # A search that found nothing is said to have found CID 0.
    return [int(cid) for value in stated if (cid := records.register_number(value))]


def _grouped(
    payload: object, asked: Sequence[str], key_of: Callable[[ParsedRecord], str | None]
) -> dict[str, list[ParsedRecord]]:
    """Return the rows of a table by what was asked for.

    Raises:
        BrokenAnswerError: A row answers what nobody asked.
    """
    found: dict[str, list[ParsedRecord]] = {key: [] for key in asked}
    for record in pubchem.parse(payload):
        key = key_of(record)
        if key not in found:
            msg = f"pubchem answered about {key or 'a compound without a number'}, which was not asked for"
            raise BrokenAnswerError(msg)
        found[key].append(record)
    return found


def _one(number: int, rows: Sequence[ParsedRecord] | None) -> ParsedRecord | None:
    """Return the rows of one compound as one record, under its number."""
    if not rows:
        return None
    others = (identifier for row in rows[1:] for identifier in row.identifiers)
    identifiers = tuple(dict.fromkeys([*rows[0].identifiers, *others]))
    return replace(rows[0], index=number, identifiers=identifiers)


def _missing(number: int, kind: str, key: str) -> ParsedRecord:
    words = {"cid": f"CID {key}", "inchikey": "this InChIKey", "name": "this name"}[kind]
    return _refused(number, key, f"PubChem has no compound with {words}.")


def _refused(number: int, key: str, reason: str) -> ParsedRecord:
    return ParsedRecord(number, "", None, None, None, None, source_record=key[:200], refusal=reason)


def _ambiguous(rows: Sequence[ParsedRecord]) -> str:
    cids = [row.source_record for row in rows if row.source_record]
    shown = ", ".join(cids[:_SHOWN_CIDS]) + (", ..." if len(cids) > _SHOWN_CIDS else "")
    return f"The name stands for {len(rows)} compounds in PubChem (CID {shown}): import the right one by its CID."


def _range_text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidError("give CIDs as text: 1-1000,2244")
    return str(Numbers.parse(value))


def _names(value: object) -> list[str]:
    return _list(value, "name", lambda word: records.text(word, records.MAX_NAME_CHARS))


def _inchikeys(value: object) -> list[str]:
    return _list(value, "InChIKey", records.inchikey)


def _list(value: object, what: str, read: Callable[[object], str | None]) -> list[str]:
    given = records.items(value)
    if not 0 < len(given) <= MAX_LIST:
        msg = f"give a list of 1 to {MAX_LIST:,} {what}s"
        raise InvalidError(msg)
    found = []
    for position, word in enumerate(given, start=1):
        readable = read(word)
        if readable is None:
            msg = f"this is no {what} (number {position} of the list): {str(word)[:50]!r}"
            raise InvalidError(msg)
        found.append(readable)
    return list(dict.fromkeys(found))


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            msg = f"this is no {what}: {str(value)[:50]!r}"
            raise InvalidError(msg)
        return value

    return check


_CHECKS: Final[dict[str, Callable[[object], Any]]] = {
    "cids": _range_text,
    "names": _names,
    "inchikeys": _inchikeys,
    "formula": _matching(_FORMULA, "formula"),
    "listkey": _matching(_LIST_KEY, "list key"),
}
