"""What a page of PubChem's or ChEMBL's JSON costs beside its chemistry: processor time, from its bytes to its records.

The pages are as the services send them, real records with all their fields, but for numbers and structures: those are
of the sample that the chemistry is measured with.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from app.importers import chembl_source, pubchem_source
from app.importers.chembl_source import ChEMBLSource
from app.importers.pubchem_source import PubChemSource
from app.importers.sources import Source
from app.importers.upstream import Upstream, breaker
from app.services.chemistry import LONG_TURN, ChemistryPool
from benchmarks.targets import Verdict

MOST_PAGE_COST: Final = 0.1
_ADDRESS: Final = "http://played"
_CHEMBL_PAGE: Final = Path("chembl") / "glados" / "SimilarityResultsSampleResponsePage1.json"
_PUBCHEM_TABLE: Final = Path("pubchem") / "property" / "aspirin_property_new_names_trimmed_real.json"
_PAGES: Final = 10
_US_PER_S: Final = 1e6


@dataclass(frozen=True, slots=True)
class PageCost:
    """Processor time a record, of reading it and of its chemistry."""

    service: str
    records: int
    page_bytes: int
    reading_us: float
    chemistry_us: float

    @property
    def verdict(self) -> Verdict:
        """Return whether reading is cheap enough."""
        cost = self.reading_us / self.chemistry_us
        name = f"a page of {self.service}'s JSON beyond its chemistry"
        return Verdict(name, f"< {MOST_PAGE_COST:g}", cost, "x", cost < MOST_PAGE_COST)


def measure_pages(
    shared: Path, chemistry: ChemistryPool, texts: Sequence[str], used_s: Callable[[], float]
) -> list[PageCost]:
    """Return the cost of each service's pages; `used_s` is the processor time of all processes so far."""
    molecules = json.loads((shared / _CHEMBL_PAGE).read_bytes())["molecules"]
    (row,) = json.loads((shared / _PUBCHEM_TABLE).read_bytes())["PropertyTable"]["Properties"]
    found = []
    for service, size in (("ChEMBL", chembl_source.IDS_PER_PAGE), ("PubChem", pubchem_source.CIDS_PER_BATCH)):
        sample = texts[: size * _PAGES]
        chunks = [sample[start : start + size] for start in range(0, len(sample), size)]
        if service == "ChEMBL":
            bodies = [_chembl_page(molecules, part, number * size) for number, part in enumerate(chunks)]
        else:
            bodies = [_pubchem_table(row, part, number * size) for number, part in enumerate(chunks)]
        reading_s = _reading_s(service, bodies, len(sample))
        used = used_s()
        list(chemistry.standardize_many((("smiles", text) for text in sample), items_per_turn=LONG_TURN))
        chemistry_s = used_s() - used
        count = len(sample)
        found.append(
            PageCost(service, count, len(bodies[0]), reading_s / count * _US_PER_S, chemistry_s / count * _US_PER_S)
        )
    return found


def _reading_s(service: str, bodies: Sequence[bytes], records: int) -> float:
    """Return the processor time of a source that reads these bodies, from the answer on."""
    session = requests.Session()
    session.mount(_ADDRESS, _Canned(bodies))
    upstream = Upstream(_ADDRESS, breaker(service.casefold()), _Free(), time.sleep, session=session)
    source: Source = ChEMBLSource(upstream) if service == "ChEMBL" else PubChemSource(upstream, time.sleep)
    numbers = {"ids": f"1-{records}"} if service == "ChEMBL" else {"cids": f"1-{records}"}
    began = time.thread_time()
    pages = list(source.pages(numbers, None, None))
    used_s = time.thread_time() - began
    read = [record for page in pages for record in page.records]
    if len(read) != records or any(record.refusal for record in read):
        msg = f"the pages of {service} were not read as they were written"
        raise AssertionError(msg)
    return used_s


def _chembl_page(molecules: Sequence[Mapping[str, Any]], texts: Iterable[str], before: int) -> bytes:
    rows = [
        {
            **molecules[number % len(molecules)],
            "molecule_chembl_id": f"CHEMBL{before + number + 1}",
            "molecule_structures": {
                **molecules[number % len(molecules)]["molecule_structures"],
                "canonical_smiles": text,
            },
        }
        for number, text in enumerate(texts)
    ]
    return json.dumps({"molecules": rows, "page_meta": {"total_count": len(rows)}}).encode()


def _pubchem_table(row: Mapping[str, Any], texts: Iterable[str], before: int) -> bytes:
    rows = [
        {**row, "CID": before + number + 1, "Title": f"Compound {number}", "SMILES": text, "ConnectivitySMILES": text}
        for number, text in enumerate(texts)
    ]
    return json.dumps({"PropertyTable": {"Properties": rows}}).encode()


class _Free:
    """A budget that costs nothing."""

    def take(self) -> None:
        return

    def pause(self, seconds: float) -> None:
        del seconds

    def slow_down(self, slowness: float) -> None:
        del slowness


class _Canned(BaseAdapter):
    """Answers with prepared bodies, one after the other."""

    def __init__(self, bodies: Iterable[bytes]) -> None:
        super().__init__()
        self._bodies = iter(bodies)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:  # noqa: ANN401 - requests' own
        is_status = urlsplit(request.url or "").path == "/status.json"
        body = b'{"chembl_db_version": "ChEMBL_37"}' if is_status else next(self._bodies)
        response = requests.Response()
        response.status_code = 200
        response.url = request.url or ""
        response.request = request
        response.raw = HTTPResponse(io.BytesIO(body), preload_content=False)
        return response

    def close(self) -> None:
        return
