"""Files from elsewhere: which addresses are asked, and what a hostile or slow server gets away with.

The servers are real and speak TLS on this machine. So that they may be asked at all, most tests take its addresses
for public ones; those of the addresses do not.
"""

from __future__ import annotations

import hashlib
import http.server
import ipaddress
import socket
import time
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from app.errors import InvalidError, UnavailableError
from app.importers.download import Allowed, check_url, download, is_public
from tests.plugins.https import BODY, Answer, Server, refusing


def redirect(location: str, status: int = 302) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def pieces(count: int, piece: bytes, pause_s: float = 0.0) -> Answer:
    """Return an answer that says nothing of its length and comes in pieces."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(HTTPStatus.OK)
        handler.end_headers()
        for _ in range(count):
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause_s)

    return answer


@pytest.fixture
def server(https_server: Server) -> Server:
    """Give the server under the name that these tests have for it."""
    return https_server


def test_a_file_is_fetched_whole_with_its_digest(server: Server, tmp_path: Path):
    file = tmp_path / "file.smi"

    fetched = download(server.url(), file, server.allowed)

    assert file.read_bytes() == BODY
    assert (fetched.sha256, fetched.size_bytes) == (hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert server.asked == [f"localhost:{server.port}"]


def test_a_redirect_on_an_allowed_host_is_followed(server: Server, tmp_path: Path):
    server.answers["/latest"] = redirect("/file.smi")

    download(server.url("/latest"), tmp_path / "file", server.allowed)

    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://ftp.ebi.ac.uk/x", "https"),
        ("ftp://ftp.ebi.ac.uk/x", "https"),
        ("file:///etc/passwd", "https"),
        ("https://", "https"),
        ("https://evil.example/x", "these hosts only"),
        ("https://ftp.ebi.ac.uk.evil.example/x", "these hosts only"),
        ("https://ftp.ebi.ac.uk@evil.example/x", "name or password"),
        ("https://user:secret@ftp.ebi.ac.uk/x", "name or password"),
        ("https://ftp.ebi.ac.uk:8443/x", "these hosts only"),
        ("https://ftp.ebi.ac.uk:99999/x", "no address"),
        ("https://127.0.0.1/x", "these hosts only"),
        ("https://[::1]/x", "these hosts only"),
        ("https://[broken/x", "no address"),
        ("https://ftp.ebi.ac.uk/é", "https"),
        (f"https://ftp.ebi.ac.uk/{'x' * 2000}", "https"),
    ],
)
def test_an_address_that_is_not_on_the_list_is_not_asked(url: str, reason: str, tmp_path: Path):
    allowed = Allowed(frozenset({"ftp.ebi.ac.uk"}))

    with pytest.raises(InvalidError, match=reason):
        download(url, tmp_path / "file", allowed)


@pytest.mark.parametrize(
    "url", ["https://ftp.ebi.ac.uk/x", "https://FTP.EBI.AC.UK/x?y=z", "https://ftp.ebi.ac.uk:443/x"]
)
def test_an_address_on_the_list_may_be_asked(url: str):
    assert check_url(url, Allowed(frozenset({"ftp.ebi.ac.uk"}))).hostname == "ftp.ebi.ac.uk"


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/file.smi",
        "http://localhost/file.smi",
        "//evil.example/x",
        "https://169.254.169.254/latest",
    ],
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(server: Server, tmp_path: Path, location: str, code: int):
    server.answers["/latest"] = redirect(location, code)

    with pytest.raises(InvalidError, match=r"these hosts only|https"):
        download(server.url("/latest"), tmp_path / "file", server.allowed)

    assert not list(tmp_path.glob("file*"))


def test_redirects_in_a_circle_come_to_an_end(server: Server, tmp_path: Path):
    server.answers["/round"] = redirect("/round")

    with pytest.raises(InvalidError, match="redirects"):
        download(server.url("/round"), tmp_path / "file", server.allowed)

    assert len(server.asked) == 6


def test_a_name_that_stands_for_a_private_address_is_not_asked(server: Server, tmp_path: Path):
    """`localhost` is on the list, and its address is this machine's own."""
    careful = replace(server.allowed, is_public=is_public)

    with pytest.raises(InvalidError, match="not public"):
        download(server.url(), tmp_path / "file", careful)

    assert server.asked == []


def test_a_name_with_one_private_address_among_public_ones_is_not_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def resolved(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*stream, ("1.1.1.1", port)), (*stream, ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)

    with pytest.raises(InvalidError, match="not public"):
        download(server.url(), tmp_path / "file", replace(server.allowed, is_public=is_public))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - compared, not bound
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "ff02::1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ],
)
def test_these_addresses_are_not_public(address: str):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["193.62.193.138", "1.1.1.1", "2607:f220:41e:250::7"])
def test_these_addresses_are_public(address: str):
    assert ipaddress.ip_address(address).is_global
    assert is_public(address)


def test_a_file_that_says_it_is_too_large_is_not_read(server: Server, tmp_path: Path):
    with pytest.raises(InvalidError, match="more than 5,000 bytes"):
        download(server.url(), tmp_path / "file", replace(server.allowed, max_bytes=5000))


def test_a_file_that_does_not_say_how_large_it_is_is_left_at_the_limit(server: Server, tmp_path: Path):
    server.answers["/file.smi"] = pieces(10_000, b"x" * 1000)

    with pytest.raises(InvalidError, match="more than 100,000 bytes"):
        download(server.url(), tmp_path / "file", server.allowed)

    assert not list(tmp_path.glob("file*"))


def test_a_server_that_falls_silent_is_left(server: Server, tmp_path: Path):
    server.answers["/file.smi"] = pieces(2, b"x", 1.5)

    with pytest.raises(UnavailableError, match="does not answer"):
        download(server.url(), tmp_path / "file", server.allowed)


def test_a_server_that_dribbles_is_left_when_the_time_is_up(server: Server, tmp_path: Path):
    server.answers["/file.smi"] = pieces(100, b"x", 0.1)
    started = time.monotonic()

    with pytest.raises(InvalidError, match="longer than 2 s"):
        download(server.url(), tmp_path / "file", server.allowed)

    assert time.monotonic() - started < 5


def test_a_file_that_ends_early_is_no_file(server: Server, tmp_path: Path):
    def half(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(HTTPStatus.OK)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[: len(BODY) // 2])

    server.answers["/file.smi"] = half

    with pytest.raises(UnavailableError):
        download(server.url(), tmp_path / "file", server.allowed)

    assert not list(tmp_path.glob("file*"))


@pytest.mark.parametrize(
    ("code", "error"),
    [(404, InvalidError), (403, InvalidError), (429, UnavailableError), (503, UnavailableError)],
)
def test_what_the_server_refuses_is_tried_again_only_where_that_may_help(
    server: Server, tmp_path: Path, code: int, error: type[Exception]
):
    server.answers["/file.smi"] = refusing(code)

    with pytest.raises(error, match=str(code)):
        download(server.url(), tmp_path / "file", server.allowed)


def test_a_server_without_a_trusted_certificate_is_not_believed(server: Server, tmp_path: Path):
    with pytest.raises(InvalidError, match="certificate"):
        download(server.url(), tmp_path / "file", replace(server.allowed, tls=None))


def test_a_server_that_is_not_there_may_be_later(server: Server, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    allowed = replace(server.allowed, hosts=frozenset({f"localhost:{port}"}))

    with pytest.raises(UnavailableError, match="does not answer"):
        download(f"https://localhost:{port}/x", tmp_path / "file", allowed)


def test_a_download_is_left_when_its_worker_stops(server: Server, tmp_path: Path):
    server.answers["/file.smi"] = pieces(50, b"x", 0.05)

    with pytest.raises(UnavailableError, match="interrupted"):
        download(server.url(), tmp_path / "file", server.allowed, iter([True, True, False]).__next__)
