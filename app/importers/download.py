"""Files from elsewhere: from hosts on a list, over HTTPS, never from an address inside, and of a size known before.

What a client names is fetched by a machine that may reach more than the client does. So every hop is checked: the
host against the list, and each address that its name stands for. The connection goes to an address that was checked,
not to the name again, which might mean another one by then.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.util.connection import create_connection

from app.errors import InvalidError, UnavailableError

MAX_REDIRECTS: Final = 5
MAX_URL_LENGTH: Final = 2000
HTTPS_PORT: Final = 443
_CONNECT_TIMEOUT_S: Final = 10.0
_READ_BYTES: Final = 256 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
# What a router makes an address of the old kind from, and that may be one inside: NAT64, 6to4, Teredo.
_TRANSLATED: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "2002::/16", "2001::/32")))
_AGENT: Final = "CryoProtect (imports)"


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the internet: not to this machine, its network or its cloud."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _TRANSLATED):
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast


@dataclass(frozen=True, slots=True)
class Allowed:
    """Where files may come from, and how much of them."""

    hosts: frozenset[str]
    """Names in lower case, with `:port` where it is not 443."""
    max_bytes: int = 10 * 1024**3
    time_limit_s: float = 3600.0
    silence_s: float = 30.0
    """A server that says nothing for so long is left."""
    is_public: Callable[[str], bool] = field(default=is_public)
    tls: ssl.SSLContext | None = None
    """The certificates to trust; the machine's own where there is none."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is there now."""

    sha256: str
    size_bytes: int


def check_url(url: str, allowed: Allowed) -> SplitResult:
    """Return the parts of an address that may be asked.

    Raises:
        InvalidError: It is no HTTPS address of a host on the list.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or HTTPS_PORT
    except ValueError as error:
        raise InvalidError.at("/url", "this is no address") from error
    if parts.scheme != "https" or not parts.hostname or len(url) > MAX_URL_LENGTH or not url.isascii():
        raise InvalidError.at("/url", "an import is fetched from an https:// address")
    if parts.username is not None or parts.password is not None:
        raise InvalidError.at("/url", "an address with a name or password in it is not asked")
    host = parts.hostname if port == HTTPS_PORT else f"{parts.hostname}:{port}"
    if host not in allowed.hosts:
        known = ", ".join(sorted(allowed.hosts)) or "none"
        raise InvalidError.at("/url", f"imports come from these hosts only (IMPORT_HOSTS): {known}")
    return parts


def download(url: str, file: Path, allowed: Allowed, keep_going: Callable[[], bool] = lambda: True) -> Downloaded:
    """Fetch an address into a file, and return what it is; the file is there only when it is whole.

    Raises:
        InvalidError: The address, or one that it leads to, may not be asked; there is no file, or it is too large,
            or it takes too long.
        UnavailableError: The server does not answer now, or `keep_going` said no.
    """
    deadline = time.monotonic() + allowed.time_limit_s
    part = file.with_name(f"{file.name}.part")
    try:
        with _asked(url, allowed) as response, part.open("wb") as target:
            digest, size = hashlib.sha256(), 0
            for block in _blocks(response):
                size += len(block)
                _refuse_too_much(size, allowed, deadline)
                if not keep_going():
                    raise UnavailableError("the download was interrupted")
                digest.update(block)
                target.write(block)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return Downloaded(digest.hexdigest(), size)


@contextmanager
def _asked(url: str, allowed: Allowed) -> Iterator[urllib3.BaseHTTPResponse]:
    """Give the answer that carries the file, behind its redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_url(url, allowed)
        with _request(parts, allowed) as response:
            if response.status not in _REDIRECTS:
                _require_file(response, allowed)
                yield response
                return
            url = urljoin(url, response.headers.get("Location", ""))
    raise InvalidError.at("/url", f"more than {MAX_REDIRECTS} redirects")


@contextmanager
def _request(parts: SplitResult, allowed: Allowed) -> Iterator[urllib3.BaseHTTPResponse]:
    pool = _Pool(
        parts.hostname or "",
        parts.port or HTTPS_PORT,
        ssl_context=allowed.tls,
        timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=allowed.silence_s),
        retries=False,
    )
    pool.is_public = allowed.is_public
    address = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    try:
        response = pool.urlopen("GET", address, headers=headers, redirect=False, preload_content=False)
        try:
            yield response
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, urllib3.exceptions.SSLError):
            raise InvalidError.at("/url", "the server's certificate is not trusted") from error
        msg = f"{parts.hostname} does not answer"
        raise UnavailableError(msg, retry_after_s=60) from error
    finally:
        pool.close()


def _require_file(response: urllib3.BaseHTTPResponse, allowed: Allowed) -> None:
    if response.status in _LATER:
        msg = f"the server answers {response.status}"
        raise UnavailableError(msg, retry_after_s=60)
    if response.status != HTTPStatus.OK:
        raise InvalidError.at("/url", f"the server answers {response.status}")
    length = response.headers.get("Content-Length", "")
    if length.isdigit():
        _refuse_too_much(int(length), allowed, float("inf"))


def _refuse_too_much(size: int, allowed: Allowed, deadline: float) -> None:
    if size > allowed.max_bytes:
        raise InvalidError.at("/url", f"the file has more than {allowed.max_bytes:,} bytes")
    if time.monotonic() > deadline:
        raise InvalidError.at("/url", f"the download takes longer than {allowed.time_limit_s:g} s")


def _blocks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield what has come each time something has: a server that dribbles is not waited for."""
    while block := response.read1(_READ_BYTES, decode_content=False):
        yield block


class _Connection(HTTPSConnection):
    """Connects to an address that was checked, and speaks to the name."""

    is_public: Callable[[str], bool]

    def _new_conn(self) -> socket.socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = [str(item[4][0]) for item in found]
        if not addresses or not all(map(self.is_public, addresses)):
            raise InvalidError.at("/url", f"{self.host} leads to an address that is not public")
        return create_connection((addresses[0], self.port or HTTPS_PORT), self.timeout)


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection
    is_public: Callable[[str], bool]

    def _new_conn(self) -> Any:  # noqa: ANN401 - the library's own union
        connection = super()._new_conn()
        connection.is_public = self.is_public  # type: ignore[attr-defined]
        return connection
