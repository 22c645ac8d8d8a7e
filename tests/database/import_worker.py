"""One worker on one run, as a process of its own: `python -m tests.database.import_worker ADMIN_URL SECRET RUN SIZE`.

A test kills it. It says `page` after each page that it has stored.
"""

from __future__ import annotations

import sys
from contextlib import closing
from uuid import UUID

from app.importers.files import FileSource
from app.importers.pipeline import Progress, run_import
from app.services.chemistry import ChemistryPool
from database.session import Database
from database.urls import database_urls


def main(admin_url: str, secret: str, run_id: str, page_records: str) -> None:
    """Work on the run, with pages of the given size."""
    urls = database_urls(admin_url, None, secret)
    database = Database(urls, min_size=0, max_size=2, timeout_s=5.0, transaction_pooler=False)
    database.open()

    def say(_: Progress) -> None:
        print("page", flush=True)  # noqa: T201 - the test reads it

    with closing(database), closing(ChemistryPool(1, 10.0, 512)) as chemistry:
        source = FileSource(int(page_records))
        run_import(database, chemistry, UUID(run_id), on_progress=say, sources={"file": source})


if __name__ == "__main__":
    main(*sys.argv[1:])
