"""A network between the service and its database that fails on command.

It takes TCP connections on this machine and passes them on to the server's socket. Faults are of the kinds
that a wire has: it is slow, it freezes without a word, it breaks off in the middle of an answer, it resets.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES: Final = 65536
COMMIT: Final = b"COMMIT\x00"
STOP_TIMEOUT_S: Final = 10.0
# Closing with this sends a reset in place of a farewell.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Link:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_committing: bool = False

    def reset(self) -> None:
        for writer in (self.client, self.server):
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


@dataclass
class FaultyNetwork:
    """Passes connections on to a server's Unix socket; use as a context manager."""

    server_socket: Path
    halves_answers: bool = False
    """Each next answer breaks off half-way, and its connection is reset."""
    loses_commits: int = 0
    """So many of the next COMMITs reach the server, and their answers nobody."""
    refuses: bool = False
    """New connections are reset."""
    lost_commits: int = 0
    _latency_s: float = 0.0
    _links: set[_Link] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __enter__(self) -> Self:
        """Listen."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._now(self._open)
        return self

    def __exit__(self, *_: object) -> None:
        """Reset what is open and stop listening."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def through(self, url: str) -> str:
        """Return the server's URL by way of this network."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self._port}", query=""))

    def freeze(self) -> None:
        """Pass nothing on any more, and say nothing about it."""
        self._now(self._thawed.clear)

    def thaw(self) -> None:
        """Pass on what was held back, and what comes."""
        self._now(self._thawed.set)

    def slow_down(self, latency_s: float) -> None:
        """Wait before anything is passed on, in either direction."""
        self._latency_s = latency_s
        self._now(self._quick.clear)

    def reset_all(self) -> None:
        """Reset every open connection."""
        self._now(self._reset_all)

    def heal(self) -> None:
        """Be a good network again."""
        self.halves_answers = self.refuses = False
        self.loses_commits = 0
        self._now(self._quick.set)
        self.thaw()

    def _now(self, act: Callable[[], object]) -> None:
        async def run() -> None:
            done = act()
            if asyncio.iscoroutine(done):
                await done

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(STOP_TIMEOUT_S)

    async def _open(self) -> None:
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._quick = asyncio.Event()
        self._quick.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port: int = self._server.sockets[0].getsockname()[1]

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _close(self) -> None:
        self._server.close()
        self._reset_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._thawed.wait()
        if self.refuses:
            _Link(writer, writer).reset()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(str(self.server_socket))
        link = _Link(writer, server_writer)
        self._links.add(link)
        ways = {
            asyncio.ensure_future(self._pass_on(link, reader, server_writer, from_client=True)),
            asyncio.ensure_future(self._pass_on(link, server_reader, writer, from_client=False)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for way in ways:
                way.cancel()
            try:
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                # Cancelled while it waits, too.
                for end in (writer, server_writer):
                    end.close()

    async def _dawdle(self) -> None:
        """Take the latency's time, or what is left of it when the network becomes quick."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quick.wait(), self._latency_s)

    async def _pass_on(
        self, link: _Link, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, from_client: bool
    ) -> None:
        while data := await source.read(CHUNK_BYTES):
            await self._dawdle()
            await self._thawed.wait()
            if from_client:
                # More may follow the COMMIT before its answer comes.
                link.is_committing |= COMMIT in data and self.loses_commits > self.lost_commits
            elif link.is_committing:
                self.lost_commits += 1
                link.reset()
                return
            elif self.halves_answers:
                target.write(data[: len(data) // 2])
                await target.drain()
                link.reset()
                return
            target.write(data)
            await target.drain()
