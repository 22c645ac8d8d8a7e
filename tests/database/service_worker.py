"""One worker on a run from a played PubChem: `python -m tests.database.service_worker ADMIN_URL SECRET RUN`.

A test kills it. It says `page` after each page that it has stored. PubChem is slow, busy now and then, and has no CID
that ends in 3.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import requests_mock
import structlog

from app.importers import pubchem_source
from app.importers.pipeline import Progress, run_import
from app.importers.pubchem_source import PubChemSource
from app.importers.upstream import Upstream, breaker
from app.services.chemistry import ChemistryPool
from database.session import Database
from database.urls import database_urls
from tests.plugins.upstream import Budget

ADDRESS = "https://service.test"


def main(admin_url: str, secret: str, run_id: str) -> None:
    """Work on the run."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    database = Database(
        database_urls(admin_url, None, secret), min_size=0, max_size=2, timeout_s=5.0, transaction_pooler=False
    )
    database.open()
    pubchem_source.CIDS_PER_BATCH = 4  # type: ignore[misc]
    upstream = Upstream(ADDRESS, breaker("pubchem"), Budget(), lambda _: None)
    sources = {"pubchem": PubChemSource(upstream, lambda _: None)}

    def say(_: Progress) -> None:
        print("page", flush=True)  # noqa: T201 - the test reads it

    with closing(database), closing(ChemistryPool(1, 10.0, 512)) as chemistry, requests_mock.Mocker() as web:
        web.post(requests_mock.ANY, json=_answer)
        run_import(database, chemistry, UUID(run_id), on_progress=say, sources=sources)


def _answer(request: Any, context: Any) -> dict[str, Any]:
    time.sleep(0.02)
    cids = [int(cid) for cid in parse_qs(request.text)["cid"][0].split(",")]
    if time.monotonic_ns() % 5 == 0:
        context.status_code = 503
        return {"Fault": {"Code": "PUGREST.ServerBusy"}}
    rows = [{"CID": cid, "SMILES": "C" * cid} for cid in cids if cid % 10 != 3]
    context.status_code = 200 if rows else 404
    return {"PropertyTable": {"Properties": rows}} if rows else {"Fault": {"Code": "PUGREST.NotFound"}}


if __name__ == "__main__":
    main(*sys.argv[1:])
