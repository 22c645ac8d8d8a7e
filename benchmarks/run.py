"""What the sections of one run share: the database that is made when the first needs it, and what was asked for."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from app.services.minting import issue_token
from app.services.tokens import TokenVerifier
from benchmarks import dataset
from benchmarks.contestants import ROOT, Arena
from benchmarks.processes import StartError
from database import migrate
from database.embedded import EmbeddedServer
from database.urls import DatabaseUrls, database_urls

FOLDER: Final = ROOT / ".cryoprotect-bench"
TOKEN_TTL_S: Final = 3600


class Run:
    """One run; what it starts ends with the stack."""

    def __init__(self, stack: ExitStack, say: Callable[[str], None], *, quick: bool, load_before: float) -> None:
        self.say = say
        self.quick = quick
        self.load_before = load_before
        self._stack = stack
        self._secret = secrets.token_urlsafe(48)
        self._base_url = ""

    @property
    def data(self) -> Path:
        """Return the folder of the real structures.

        Raises:
            DataError: They are not there.
        """
        shared = Path(os.environ.get("CRYOPROTECT_SHARED") or ROOT.parent / "shared" / "data")
        dataset.require_structures(shared)
        return shared

    def alone(self) -> None:
        """See to it that no other benchmark runs.

        Raises:
            StartError: One does.
        """
        self._stack.enter_context(_alone(FOLDER))

    def arena(self, *, with_molecules: bool) -> Arena:
        """Return the database of all sections, migrated, with the real molecules in it if they are wanted.

        Raises:
            DataError: The real structures are not there.
            StartError: The server did not start, or another benchmark runs.
        """
        urls = self._urls()
        if with_molecules:
            began_s = time.monotonic()
            dataset.load(urls.admin, self.data, self.say)
            self.say(f"{dataset.MOLECULES:,} molecules are ready after {time.monotonic() - began_s:.0f} s")
        token = issue_token(self._secret, role="authenticated", ttl_s=TOKEN_TTL_S, sub=dataset.CALLER)
        claims_json = TokenVerifier(self._secret, jwks=None, issuer=None).verify(token).claims_json
        return Arena(self._base_url, urls.request, self._secret, token, claims_json, FOLDER)

    def _urls(self) -> DatabaseUrls:
        if self._base_url:
            return database_urls(self._base_url, None, self._secret)
        self.alone()
        self._base_url = self._stack.enter_context(EmbeddedServer(FOLDER, log=self.say))
        urls = database_urls(self._base_url, None, self._secret)
        migrate.upgrade(urls, secret=self._secret, log=self.say)
        return urls


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one benchmark run at a time: two would measure each other."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="ascii")
    with (folder / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = "another benchmark is running: two would measure each other"
            raise StartError(msg) from error
        yield
