"""A closed-loop HTTP/1.1 load generator that leaves the cores to what it measures.

Each client is one connection that sends its next request when the answer to the last one is whole.
All clients live in one thread on one epoll; an answer is read for its status and its length and
never decoded, which keeps the generator's own share of the cores small (it is reported).
The same generator drives every contestant, so whatever it costs, it costs all of them.

A client that is refused with 503 and `Retry-After`, where that is allowed, comes again when it was told to.

The workers of a prefork server race for new connections, and who wins is luck that can halve a result.
`share_out` therefore keeps the same number of connections of every worker, as a balancer in front would.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import math
import re
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.processes import owners_of_connections

RECEIVE_BYTES: Final = 1 << 20
MAX_HEAD_BYTES: Final = 8192
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 30.0
SHARE_ATTEMPTS: Final = 20
SHARE_INTERVAL_S: Final = 0.05
_HTTP_OK: Final = b"HTTP/1.1 200"
_HTTP_UNAVAILABLE: Final = b"HTTP/1.1 503"
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class LoadError(Exception):
    """A contestant refused a request, or answered in a way that cannot be measured."""


@dataclass(slots=True)
class Load:
    """What one contestant did in one round."""

    seconds: float
    latencies_s: list[float] = field(default_factory=list)
    refusals_s: list[float] = field(default_factory=list)
    """How long each refusal took to come."""
    answers: int = 0
    """All of them, the warm-up's too."""
    generator_cpu_s: float = 0.0
    """The generator's own processor time for all answers."""


class Client:
    """One connection: sends a request, reads one answer, and knows when it is whole."""

    def __init__(
        self, port: int, buffer: memoryview, connection: socket.socket, *, may_be_refused: bool = False
    ) -> None:
        self.port = port
        self.may_be_refused = may_be_refused
        self.wait_s: int | None = None
        """When to come again after the last answer; None where it was 200."""
        self.buffer = buffer
        self.connection = connection
        self.keeps = True
        self._head = b""
        self._read_bytes = 0
        self._answer_bytes: int | None = None

    def send(self, request: bytes) -> None:
        """Send `request`, on a new connection where the server kept the last one no longer."""
        if not self.keeps:
            self.connection.close()
            self.connection = connect(self.port)
        self._head = b""
        self._read_bytes = 0
        self._answer_bytes = None
        self.connection.sendall(request)

    def receive(self) -> bool:
        """Read what has come and say whether the answer is whole.

        Raises:
            LoadError: The answer is not 200 (nor a refusal that says when to come again, where one is allowed),
                has no length, or ends too early.
        """
        count = self.connection.recv_into(self.buffer)
        if count == 0:
            msg = f"the server on port {self.port} closed a connection before its answer was whole"
            raise LoadError(msg)
        self._read_bytes += count
        if self._answer_bytes is None:
            self._read_head(count)
        return self._read_bytes == self._answer_bytes

    def _read_head(self, count: int) -> None:
        self._head += self.buffer[: min(count, MAX_HEAD_BYTES)]
        end = self._head.find(b"\r\n\r\n")
        if end < 0 and self._read_bytes < MAX_HEAD_BYTES:
            return
        length = _CONTENT_LENGTH.search(self._head, 0, end + 2)
        again = _RETRY_AFTER.search(self._head, 0, end + 2) if self._head.startswith(_HTTP_UNAVAILABLE) else None
        self.wait_s = int(again[1]) if again and self.may_be_refused else None
        if (self.wait_s is None and not self._head.startswith(_HTTP_OK)) or length is None:
            msg = f"the server on port {self.port} answered {self._head[:800].decode(errors='replace')!r}"
            raise LoadError(msg)
        self.keeps = _CLOSES.search(self._head, 0, end + 2) is None
        self._answer_bytes = end + 4 + int(length[1])


def connect(port: int) -> socket.socket:
    """Return a connection to the local server on `port`."""
    connection = socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(None)
    return connection


def share_out(port: int, worker_pids: Sequence[int], clients: int) -> list[socket.socket]:
    """Return `clients` connections of which every worker holds an equal share, one more at most.

    Raises:
        LoadError: The workers did not take such a share, however many connections were opened.
    """
    share = -(-clients // len(worker_pids))
    opened: list[socket.socket] = []
    for _ in range(SHARE_ATTEMPTS):
        opened += [connect(port) for _ in range(2 * clients)]
        time.sleep(SHARE_INTERVAL_S)
        held = _by_worker(opened, worker_pids)
        if all(len(connections) >= share for connections in held):
            dealt = [connection for row in zip(*held, strict=False) for connection in row][:clients]
            _close([connection for connection in opened if connection not in dealt])
            return dealt
    _close(opened)
    msg = f"the workers behind port {port} do not share {len(opened)} connections"
    raise LoadError(msg)


def _by_worker(opened: Sequence[socket.socket], worker_pids: Sequence[int]) -> list[list[socket.socket]]:
    owners = owners_of_connections(worker_pids)
    return [[one for one in opened if owners.get(one.getsockname()[1]) == pid] for pid in worker_pids]


def drive(  # noqa: PLR0913 - by name
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    worker_pids: Sequence[int] = (),
    may_be_refused: bool = False,
) -> Load:
    """Return what the server on `port` did for `clients` clients in `seconds`, after a short warm-up.

    Args:
        port: Where the server listens on the loopback address.
        requests: Whole requests, sent in turn and then from the start again.
        clients: Connections, each with one request under way.
        seconds: Length of what is measured.
        worker_pids: Who must share the connections; empty where the server keeps no connection.
        may_be_refused: Whether 503 with `Retry-After` is an answer, too.

    Raises:
        LoadError: An answer was none of these, or could not be understood.
    """
    connections = share_out(port, worker_pids, clients) if worker_pids else [connect(port) for _ in range(clients)]
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    members = [Client(port, buffer, connection, may_be_refused=may_be_refused) for connection in connections]
    gc.disable()
    try:
        return _loop(members, itertools.cycle(requests), seconds)
    finally:
        gc.enable()
        _close([member.connection for member in members])


def _loop(members: Sequence[Client], queue: Iterator[bytes], seconds: float) -> Load:
    load = Load(seconds)
    cpu_before_s = time.process_time()
    counts_from_s = time.perf_counter() + min(0.5, seconds / 4)
    ends_s = counts_from_s + seconds
    poller = select.epoll()
    waiting: dict[int, tuple[Client, float]] = {}

    def send(member: Client) -> None:
        began_s = time.perf_counter()
        member.send(next(queue))
        descriptor = member.connection.fileno()
        if descriptor not in waiting or not member.keeps:
            poller.register(descriptor, select.EPOLLIN)
        waiting[descriptor] = (member, began_s)

    for member in members:
        send(member)
    resting = _Resting()
    while (now_s := time.perf_counter()) < ends_s:
        for member in resting.due(now_s):
            send(member)
        for descriptor, _ in _ready(poller, min(ends_s, resting.next_s), members[0].port):
            member, began_s = waiting[descriptor]
            if not member.receive():
                continue
            now_s = time.perf_counter()
            load.answers += 1
            if counts_from_s <= now_s < ends_s:
                (load.latencies_s if member.wait_s is None else load.refusals_s).append(now_s - began_s)
            if member.wait_s is None:
                send(member)
            else:
                resting.add(member, now_s + member.wait_s)
    load.generator_cpu_s = time.process_time() - cpu_before_s
    poller.close()
    return load


def _ready(poller: select.epoll, until_s: float, port: int) -> list[tuple[int, int]]:
    """Return what can be read, or nothing when that moment comes."""
    left_s = max(0.0, until_s - time.perf_counter())
    ready = poller.poll(min(ANSWER_TIMEOUT_S, left_s))
    if not ready and left_s > ANSWER_TIMEOUT_S:
        msg = f"no answer from port {port} within {ANSWER_TIMEOUT_S:.0f} s"
        raise LoadError(msg)
    return ready


class _Resting:
    """Clients that were told to come later."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Client]] = []

    @property
    def next_s(self) -> float:
        """When the next one comes again."""
        return self._queue[0][0] if self._queue else math.inf

    def add(self, member: Client, at_s: float) -> None:
        """Let a client rest until then."""
        heapq.heappush(self._queue, (at_s, next(self._order), member))

    def due(self, now_s: float) -> Iterator[Client]:
        """Give those who have rested enough."""
        while self.next_s <= now_s:
            yield heapq.heappop(self._queue)[2]


def _close(connections: Sequence[socket.socket]) -> None:
    for connection in connections:
        connection.close()
