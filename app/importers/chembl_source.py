"""ChEMBL as a source of records: its molecules by number, in windows of numbers.

A page deep in a list costs ChEMBL what all pages before it do; a window of numbers costs the same anywhere. A window
that cannot be had is asked for in halves, down to the one record that is left out. Numbers are shared with assays,
targets and documents, so that gaps in a range say nothing; what is named by itself and missing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import InvalidError, NotFoundError, UnavailableError
from app.importers import chembl, records
from app.importers.records import ParsedRecord, mapping
from app.importers.sources import Page
from app.importers.upstream import BrokenAnswerError, Request, Upstream, check_alive, halved
from app.importers.windows import Numbers

ADDRESS: Final = "https://www.ebi.ac.uk/chembl/api/data"
IDS_PER_PAGE: Final = 100
IDS: Final = "ids"
PREFIX: Final = "CHEMBL"
_PAGES_PER_LOOK: Final = 50
_STATUS: Final = Request("/status.json")


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an import from ChEMBL, in their one form.

    Raises:
        InvalidError: They name no molecules, or are none of ours.
    """
    if given.keys() != {IDS} or not isinstance(given[IDS], str):
        msg = f"ChEMBL is asked by {IDS}, a text such as CHEMBL1-CHEMBL1000,CHEMBL2244"
        raise InvalidError(msg)
    return {IDS: str(Numbers.parse(given[IDS], PREFIX))}


@dataclass(frozen=True, slots=True)
class ChEMBLSource:
    """Reads the molecules that a run's parameters number."""

    upstream: Upstream

    def release(self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None) -> str:
        """Return the release that ChEMBL serves now.

        Raises:
            InvalidError: It is not the one that the run asks for or began with.
            UnavailableError: ChEMBL does not answer.
        """
        try:
            found = self.upstream.ask(_STATUS, _release)
        except (BrokenAnswerError, NotFoundError) as error:
            raise UnavailableError(error.detail, retry_after_s=60) from error
        wanted = checkpoint["release"] if checkpoint else parameters.get("release")
        if wanted and wanted != found:
            msg = f"ChEMBL serves {found} now, and this import is of {wanted}: start a new one"
            raise InvalidError(msg)
        return found

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        """Yield the pages behind the checkpoint.

        Raises:
            InvalidError: The parameters number no molecules, or ChEMBL has gone on to another release.
            UnavailableError: ChEMBL does not answer.
        """
        del sha256
        numbers = Numbers.parse(options({IDS: parameters.get(IDS)})[IDS])
        release = self.release(parameters, checkpoint)
        pages = numbers.pages(checkpoint, IDS_PER_PAGE, lambda window: self._window(numbers, window), release=release)
        for position, page in enumerate(pages, start=1):
            yield page
            if position % _PAGES_PER_LOOK == 0:
                self.release(parameters, page.checkpoint)

    def _window(self, numbers: Numbers, window: Sequence[int]) -> list[ParsedRecord]:
        found: list[ParsedRecord] = []
        for part, answer in halved(window, self._ask, lambda: check_alive(self.upstream, _STATUS)):
            for number in part:
                if isinstance(answer, BrokenAnswerError):
                    found.append(_refused(number, answer.detail))
                elif number in answer:
                    found.append(answer[number])
                elif numbers.is_named(number):
                    found.append(_refused(number, f"ChEMBL has no molecule {PREFIX}{number}."))
        return found

    def _ask(self, part: Sequence[int]) -> dict[int, ParsedRecord]:
        read = _reader(part)
        try:
            if len(part) == 1:
                return self.upstream.ask(Request(f"/molecule/{PREFIX}{part[0]}.json"), read)
            ids = ",".join(f"{PREFIX}{number}" for number in part)
            return self.upstream.ask(
                Request("/molecule.json", {"molecule_chembl_id__in": ids, "limit": str(len(part))}), read
            )
        except NotFoundError as error:
            if len(part) == 1:
                return {}
            # A list is there though nothing may be in it.
            raise BrokenAnswerError(error.detail) from error


def _reader(part: Sequence[int]) -> Callable[[object], dict[int, ParsedRecord]]:
    """Return what reads the answer on some numbers.

    Raises:
        BrokenAnswerError: It holds others, or not all that ChEMBL has of these.
    """
    asked = {f"{PREFIX}{number}": number for number in part}

    def read(payload: object) -> dict[int, ParsedRecord]:
        found: dict[int, ParsedRecord] = {}
        for record in chembl.parse(payload):
            number = asked.get(record.source_record or "")
            if number is None:
                msg = f"chembl answered with {record.source_record or 'a molecule without an id'}, not asked for"
                raise BrokenAnswerError(msg)
            found[number] = replace(record, index=number)
        total = records.number(mapping(mapping(payload).get("page_meta")).get("total_count"))
        if total is not None and total > len(found):
            msg = f"chembl answered with {len(found)} of {total:.0f} molecules"
            raise BrokenAnswerError(msg)
        return found

    return read


def _release(payload: object) -> str:
    found = records.text(mapping(payload).get("chembl_db_version"), 200)
    if found is None:
        raise BrokenAnswerError("chembl's status names no release")
    return found


def _refused(number: int, reason: str) -> ParsedRecord:
    return ParsedRecord(number, "", None, None, None, None, source_record=f"{PREFIX}{number}", refusal=reason)
