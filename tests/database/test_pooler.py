"""`--pooler` does what it says: else the suites that are run with it would prove nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.domain.callers import ANON
from database.session import Database
from tests.plugins.pooler import BACKENDS

CLIENTS: Final = 4
BACKEND_SQL: Final = "SELECT pg_backend_pid(), pg_sleep(0.1)"


def test_transactions_share_backends_through_the_pooler_and_only_there(database: Database, with_pooler: bool):  # noqa: FBT001
    together = threading.Barrier(CLIENTS)

    def ask() -> int:
        together.wait()
        return int(database.reading(ANON).rows(BACKEND_SQL, {})[0][0])

    with ThreadPoolExecutor(CLIENTS) as threads:
        backends = {call.result() for call in [threads.submit(ask) for _ in range(CLIENTS)]}

    assert len(backends) == (BACKENDS if with_pooler else CLIENTS)
