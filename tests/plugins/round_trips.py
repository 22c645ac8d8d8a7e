"""A proxy in front of Postgres that counts what crosses it, and can cut it.

A round trip is what a distant database makes expensive, and nothing but the wire shows how many a call
takes: a client that speaks again after the server has spoken has waited in between.
"""

from __future__ import annotations

import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import pytest

from database.urls import DatabaseUrls

CHUNK_BYTES: Final = 65536
DEFAULT_PORT: Final = 5432
POLL_INTERVAL_S: Final = 0.1


@dataclass(slots=True)
class Traffic:
    """What has crossed so far."""

    exchanges: int = 0
    """How often a client spoke after the server had spoken, or for the first time."""
    bytes_to_server: int = 0
    bytes_to_client: int = 0


@dataclass(slots=True)
class _Link:
    client: socket.socket
    server: socket.socket
    client_spoke_last: bool = False


@dataclass
class Proxy:
    """Passes connections on to the server of a URL; use as a context manager."""

    url: str
    traffic: Traffic = field(default_factory=Traffic)
    _links: list[_Link] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _closing: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        """Listen, beside the server's own kind of address."""
        self._folder = tempfile.TemporaryDirectory(prefix="proxy-")
        if self._socket_folder is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(_socket_path(self._folder.name)))
            self._listener.listen()
        self._listener.settimeout(POLL_INTERVAL_S)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Cut what is open and stop listening."""
        self._closing.set()
        with suppress(OSError):
            # Wakes the thread that waits for the next connection.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()

    def through(self, urls: DatabaseUrls) -> DatabaseUrls:
        """Return the same URLs by way of the proxy."""
        return DatabaseUrls(
            self._redirected(urls.admin), self._redirected(urls.request), self._redirected(urls.service)
        )

    def cut(self) -> None:
        """Cut every connection, as a dying network does."""
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            for end in (link.client, link.server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def counting(self) -> Iterator[Traffic]:
        """Give what crosses from here to the end of the block."""
        counted, before = Traffic(), self.traffic
        self.traffic = counted
        yield counted
        self.traffic = before

    @property
    def _socket_folder(self) -> str | None:
        hosts = parse_qs(urlsplit(self.url).query).get("host", [])
        return hosts[0] if hosts and hosts[0].startswith("/") else None

    def _redirected(self, url: str) -> str:
        parts = urlsplit(url)
        if self._socket_folder is not None:
            return urlunsplit(parts._replace(query=f"host={quote(self._folder.name)}"))
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self._listener.getsockname()[1]}"))

    def _connect(self) -> socket.socket:
        if self._socket_folder is not None:
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(_socket_path(self._socket_folder)))
            return server
        parts = urlsplit(self.url)
        return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORT))

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                link = _Link(client, self._connect())
            except OSError:
                client.close()
                continue
            with self._lock:
                self._links.append(link)
            self._start(self._relay, link)

    def _relay(self, link: _Link) -> None:
        with link.client, link.server, selectors.DefaultSelector() as selector, suppress(OSError):
            for end in (link.client, link.server):
                selector.register(end, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select(POLL_INTERVAL_S):
                    if not self._pass_on(link, key.fileobj is link.client):
                        return

    def _pass_on(self, link: _Link, from_client: bool) -> bool:  # noqa: FBT001 - one of two ends
        source, target = (link.client, link.server) if from_client else (link.server, link.client)
        data = source.recv(CHUNK_BYTES)
        self._count(link, len(data), from_client)
        target.sendall(data)
        return bool(data)

    def _count(self, link: _Link, size: int, from_client: bool) -> None:  # noqa: FBT001 - one of two ends
        if not size:
            return
        if not from_client:
            self.traffic.bytes_to_client += size
        else:
            self.traffic.bytes_to_server += size
            self.traffic.exchanges += not link.client_spoke_last
        link.client_spoke_last = from_client


def _socket_path(folder: str) -> Path:
    return Path(folder) / f".s.PGSQL.{DEFAULT_PORT}"


@pytest.fixture
def proxy(urls: DatabaseUrls) -> Iterator[Proxy]:
    """Give a proxy in front of the tests' server."""
    with Proxy(urls.admin) as running:
        yield running
