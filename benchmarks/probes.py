"""Two questions for the service alone: what does a deep page cost, and what memory does a stream take?"""

from __future__ import annotations

import http.client
import statistics
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from benchmarks.contestants import HttpServer
from benchmarks.dataset import VISIBLE_MOLECULES
from benchmarks.load import LoadError
from benchmarks.processes import peak_rss_bytes
from benchmarks.scenarios import MOLECULES_PATH
from benchmarks.stats import Round

SHALLOW_LIMIT: Final = 10
DEEP_PAGE: Final = 10_000
STRIDE_LIMIT: Final = 1000
READ_BYTES: Final = 1 << 16
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class DeepPage:
    """What page 10,000 costs beside page 1, both of ten records."""

    first: list[Round]
    deep: list[Round]

    @property
    def cost(self) -> float:
        """How many times page 1's median latency, as the median over the rounds."""
        pairs = zip(self.deep, self.first, strict=True)
        return statistics.median(deep.median_ms / first.median_ms for deep, first in pairs)


@dataclass(frozen=True, slots=True)
class Stream:
    """What it took to stream every visible molecule."""

    rows: int
    received_bytes: int
    seconds: float
    peak_rss_before_bytes: int
    peak_rss_bytes: int
    """Of the worker with the larger one, since its start."""


def measure_deep_page(service: HttpServer, rounds: int, seconds: int) -> DeepPage:
    """Return what a page far down costs, asked for in turn with the first.

    Raises:
        LoadError: The listing has not as many records as it should.
    """
    path = f"{MOLECULES_PATH}?limit={SHALLOW_LIMIT}"
    deep_path = f"{path}&cursor={quote(_cursor_before(service, DEEP_PAGE), safe='')}"
    result = DeepPage([], [])
    for _ in range(rounds):
        result.first.append(service.ask([path], 1, seconds))
        result.deep.append(service.ask([deep_path], 1, seconds))
    return result


def measure_stream(service: HttpServer) -> Stream:
    """Return what streaming the whole listing as NDJSON takes.

    Raises:
        LoadError: The stream is not whole.
    """
    pids = service.worker_pids
    before = max(map(peak_rss_bytes, pids))
    began_s = time.perf_counter()
    rows, received_bytes = _read_stream(service)
    seconds = time.perf_counter() - began_s
    if rows != VISIBLE_MOLECULES:
        msg = f"the stream held {rows:,} molecules instead of {VISIBLE_MOLECULES:,}"
        raise LoadError(msg)
    return Stream(rows, received_bytes, seconds, before, max(map(peak_rss_bytes, pids)))


def _cursor_before(service: HttpServer, page: int) -> str:
    """Return the cursor of a page of ten, reached in strides of a thousand."""
    missing = (page - 1) * SHALLOW_LIMIT
    cursor = ""
    while missing:
        limit = min(STRIDE_LIMIT, missing)
        after = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        answer = service.get_json(f"{MOLECULES_PATH}?only=id&limit={limit}{after}")
        cursor = answer["page"]["next"]
        missing -= len(answer["data"])
        if cursor is None:
            msg = f"the listing ends before page {page:,}"
            raise LoadError(msg)
    return cursor


def _read_stream(service: HttpServer) -> tuple[int, int]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    try:
        connection.request(
            "GET", MOLECULES_PATH, headers={"Authorization": f"Bearer {service.token}", "Accept": NDJSON}
        )
        answer = connection.getresponse()
        rows = received_bytes = 0
        while block := answer.read(READ_BYTES):
            rows += block.count(b"\n")
            received_bytes += len(block)
        return rows, received_bytes
    finally:
        connection.close()
