"""One process that takes requests: `python -m tests.database.request_taker ADMIN_URL SECRET BUDGET SECONDS`.

It says the moment of each, by the machine's clock, which all processes share.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing

from app.importers.budget import SharedBudget
from database.session import Database
from database.urls import database_urls


def main(admin_url: str, secret: str, name: str, seconds: str) -> None:
    """Take requests for so long."""
    database = Database(
        database_urls(admin_url, None, secret), min_size=0, max_size=2, timeout_s=5.0, transaction_pooler=False
    )
    database.open()
    with closing(database):
        budget = SharedBudget(database, name, time.sleep)
        until_s = time.monotonic() + float(seconds)
        while time.monotonic() < until_s:
            budget.take()
            print(time.monotonic(), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
