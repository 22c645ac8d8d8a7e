"""The provider's key set over real HTTP on loopback, and its ages and pauses on an injected clock."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import requests_mock
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from structlog.testing import LogCapture

from app.errors import UnavailableError
from app.services.jwks import (
    COLD_PAUSE_S,
    GRACE_S,
    MAX_AGE_S,
    MAX_BODY_BYTES,
    PAUSE_S,
    REFRESH_AFTER_S,
    Jwks,
    KeySetError,
    VerifyingKey,
    fetch_key_set,
    read_key_set,
)

PROJECT = Path(__file__).parents[2]
URL = "https://project.example/auth/v1/.well-known/jwks.json"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

Json = dict[str, Any]


def ec_jwk(kid: str, key: ec.EllipticCurvePrivateKey | None = None, **changes: object) -> Json:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return {
        **ECAlgorithm.to_jwk(key.public_key(), as_dict=True),
        "kid": kid,
        "alg": "ES256",
        "use": "sig",
        "key_ops": ["verify"],
        "ext": True,
        **changes,
    }


def rsa_jwk(kid: str, **changes: object) -> Json:
    return {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": kid, **changes}


def without(member: Json, *names: str) -> Json:
    return {name: value for name, value in member.items() if name not in names}


def key_set(*members: object) -> bytes:
    return json.dumps({"keys": list(members)}).encode()


class Provider:
    """A provider on an injected clock: what it publishes, whether it is up, how often it was asked."""

    def __init__(self, *members: Json) -> None:
        self.members: tuple[Json, ...] = members
        self.up = True
        self.asked = 0
        self.now_s = 0.0

    def fetch(self, url: str) -> bytes:
        """Answer, or fail, as the network would."""
        assert url == URL
        self.asked += 1
        if not self.up:
            msg = "ConnectionError"
            raise KeySetError(msg)
        return key_set(*self.members)

    def jwks(self) -> Jwks:
        """Return a key store that asks this provider."""
        return Jwks(URL, fetch=self.fetch, clock=lambda: self.now_s)


# --- over HTTP -------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str], list[bytes]]


@contextmanager
def serving(
    answers: dict[str, Answer], between: Callable[[], object] = lambda: None
) -> Iterator[tuple[str, list[str]]]:
    """Serve the answers by path on loopback; give the base URL and the paths asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, parts = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for part in parts:
                try:
                    self.wfile.write(part)
                    between()
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Keep the tests' output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_keys_are_fetched_over_http_and_found_by_their_kid() -> None:
    body = key_set(ec_jwk("one"), rsa_jwk("two"))

    with serving({"/keys": (200, {"Content-Type": "application/json"}, [body])}) as (base, asked):
        jwks = Jwks(f"{base}/keys")
        one, two = jwks.key("one"), jwks.key("two")

    assert one is not None
    assert two is not None
    assert (one.algorithm, two.algorithm) == ("ES256", "RS256")
    assert asked == ["/keys"]


@pytest.mark.parametrize("target", ["{other}/keys", "/elsewhere"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, target: str) -> None:
    found: Answer = (200, {}, [key_set(ec_jwk("one"))])
    with serving({"/keys": found}) as (other, asked_elsewhere):
        location = {"Location": target.format(other=other)}
        with serving({"/keys": (status, location, []), "/elsewhere": found}) as (base, asked):
            with pytest.raises(KeySetError, match=f"status {status}"):
                fetch_key_set(f"{base}/keys")

            assert asked == ["/keys"]
        assert asked_elsewhere == []


def test_a_body_of_256_kib_is_read_and_one_byte_more_is_refused() -> None:
    whole = key_set(ec_jwk("one")).ljust(MAX_BODY_BYTES)

    with serving({"/fits": (200, {}, [whole]), "/over": (200, {}, [whole, b" "])}) as (base, _):
        assert len(fetch_key_set(f"{base}/fits")) == MAX_BODY_BYTES
        with pytest.raises(KeySetError, match="more than 262144 bytes"):
            fetch_key_set(f"{base}/over")


def test_a_body_without_end_is_given_up_at_the_cap() -> None:
    with (
        serving({"/keys": (200, {}, [b" " * 65536] * 10_000)}) as (base, _),
        pytest.raises(KeySetError, match="more than 262144 bytes"),
    ):
        fetch_key_set(f"{base}/keys")


def test_a_body_that_comes_byte_by_byte_does_not_outlast_the_deadline() -> None:
    never = threading.Event()

    with (
        serving({"/keys": (200, {}, [b" "] * 10_000)}, between=lambda: never.wait(0.01)) as (base, _),
        pytest.raises(KeySetError, match="not complete in time"),
    ):
        fetch_key_set(f"{base}/keys", timeout_s=0.2)


def test_a_body_shorter_than_announced_is_refused() -> None:
    body = key_set(ec_jwk("one"))

    with (
        serving({"/keys": (200, {"Content-Length": str(len(body) + 1)}, [body])}) as (base, _),
        pytest.raises(KeySetError),
    ):
        fetch_key_set(f"{base}/keys")


def test_a_provider_that_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(KeySetError, match="ReadTimeout"):
        fetch_key_set(f"http://127.0.0.1:{silent.getsockname()[1]}/keys", timeout_s=0.2)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 300 + b"\r\n{}",
    ],
)
def test_an_answer_that_is_no_http_is_a_failed_fetch(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as provider:

        def answer_once() -> None:
            connection, _ = provider.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        with pytest.raises(KeySetError):
            fetch_key_set(f"http://127.0.0.1:{provider.getsockname()[1]}/keys")
        thread.join()


def test_a_provider_that_is_not_there_makes_a_cold_start_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    with pytest.raises(UnavailableError) as caught:
        Jwks(f"http://127.0.0.1:{port}/keys").key("one")

    assert caught.value.retry_after_s == COLD_PAUSE_S


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http://[",
        "ftp://127.0.0.1/keys",
        "http://a..b/",
        "http://127.0.0.1:99999/",
        "http://u:\ud800@127.0.0.1:1/",
    ],
)
def test_an_address_that_is_none_is_a_failed_fetch(url: str) -> None:
    with pytest.raises(KeySetError):
        fetch_key_set(url)


@pytest.mark.parametrize("status", [204, 304, 400, 404, 429, 500, 503])
def test_any_status_but_200_is_a_failed_fetch(status: int) -> None:
    with requests_mock.Mocker() as http:
        http.get(URL, status_code=status, content=key_set(ec_jwk("one")))

        with pytest.raises(UnavailableError):
            Jwks(URL).key("one")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Maintenance</body></html>",
        key_set(ec_jwk("one"))[:-1],
        b"null",
        b"[]",
        b'"keys"',
        b"{}",
        b'{"keys": null}',
        b'{"keys": {"kid": "one"}}',
        b"[" * 100_000,
        b'{"keys": ' + b"[" * 100_000,
        b'{"keys": [' + b"9" * 5_000 + b"]}",
        gzip.compress(key_set(ec_jwk("one"))),
        key_set(ec_jwk("one")).decode().encode("utf-16"),
        b"\x00" + key_set(ec_jwk("one")),
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_no_key_set_is_a_failed_fetch(body: bytes) -> None:
    with requests_mock.Mocker() as http:
        http.get(URL, content=body)

        with pytest.raises(UnavailableError):
            Jwks(URL).key("one")


@pytest.mark.parametrize("body", [b"<html>", b"{}"])
def test_a_body_that_is_no_key_set_leaves_the_keys_at_hand_in_place(body: bytes) -> None:
    now_s = [0.0]
    with requests_mock.Mocker() as http:
        http.get(URL, [{"content": key_set(ec_jwk("one"))}, {"content": body}])
        jwks = Jwks(URL, clock=lambda: now_s[0])
        first = jwks.key("one")

        now_s[0] = MAX_AGE_S

        assert first is not None
        assert jwks.key("one") is first
        assert http.call_count == 2


def test_a_failed_fetch_is_logged_with_its_reason_and_without_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not `capture_logs`: an app made in this process before may have set a level above this message's.
    said = LogCapture()
    monkeypatch.setattr(
        "app.services.jwks._log",
        structlog.wrap_logger(structlog.PrintLogger(), processors=[said], wrapper_class=structlog.BoundLogger),
    )
    with requests_mock.Mocker() as http:
        http.get(URL, text="<html>somebody@example.org</html>")

        with pytest.raises(UnavailableError):
            Jwks(URL).key("one")

    assert [(entry["event"], entry["reason"]) for entry in said.entries] == [("jwks_not_fetched", "not JSON")]


# --- which keys are taken --------------------------------------------------------------------------


def test_a_set_without_keys_is_valid_and_knows_no_kid() -> None:
    assert read_key_set(b'{"keys": []}') == {}


@pytest.mark.parametrize(
    "member",
    [
        pytest.param({"kty": "oct", "kid": "bad", "alg": "HS256", "k": "c2VjcmV0" * 8}, id="a shared secret"),
        pytest.param({"kty": "OKP", "kid": "bad", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg"}, id="Ed25519"),
        pytest.param(ec_jwk("bad", ec.generate_private_key(ec.SECP384R1()), alg="ES384"), id="P-384"),
        pytest.param(ec_jwk("bad", ec.generate_private_key(ec.SECP384R1())), id="P-384 that says ES256"),
        pytest.param(ec_jwk("bad", ec.generate_private_key(ec.SECP256K1())), id="secp256k1"),
        pytest.param(ec_jwk("bad", crv="P-384"), id="a curve that the point is not on"),
        pytest.param(ec_jwk("bad", x="A" * 43, y="A" * 43), id="a point on no curve"),
        pytest.param(ec_jwk("bad", x="AAAA"), id="a short coordinate"),
        pytest.param(ec_jwk("bad", x=17), id="a number as coordinate"),
        pytest.param(ec_jwk("bad", x=["A"]), id="a list as coordinate"),
        pytest.param(without(ec_jwk("bad"), "y"), id="half a point"),
        pytest.param(ec_jwk("bad", alg="RS256"), id="an EC key for RS256"),
        pytest.param(ec_jwk("bad", alg=["ES256"]), id="a list of algorithms"),
        pytest.param(ec_jwk("bad", use="enc"), id="a key for encryption"),
        pytest.param(ec_jwk("bad", key_ops=["sign"]), id="a key for signing"),
        pytest.param(ec_jwk("bad", key_ops="verify"), id="operations as text"),
        pytest.param(ec_jwk("bad", kty=["EC"]), id="a list as key type"),
        pytest.param(rsa_jwk("bad", alg="PS256"), id="PS256"),
        pytest.param(rsa_jwk("bad", alg="HS256"), id="an RSA key for HS256"),
        pytest.param(rsa_jwk("bad", alg="RSA-OAEP", use="enc"), id="RSA for encryption"),
        pytest.param(rsa_jwk("bad", n="_" * 171), id="RSA of 1,026 bits"),
        pytest.param(rsa_jwk("bad", n="_" * 10_000), id="RSA of 60,000 bits"),
        pytest.param(rsa_jwk("bad", e="Ag"), id="an even exponent"),
        pytest.param(rsa_jwk("bad", n=2**2048 + 1), id="a number as modulus"),
        pytest.param(without(rsa_jwk("bad"), "n"), id="no modulus"),
        pytest.param(without(ec_jwk("bad"), "kid"), id="no kid"),
        pytest.param(ec_jwk(""), id="an empty kid"),
        pytest.param(ec_jwk(cast("str", 7)), id="a number as kid"),
        pytest.param(ec_jwk(cast("str", ["bad"])), id="a list as kid"),
        pytest.param(ec_jwk("k" * 10_240), id="a kid of 10 kB"),
        pytest.param(ec_jwk("../../etc/passwd"), id="a path as kid"),
        pytest.param("bad", id="text"),
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing"),
    ],
)
def test_a_key_that_cannot_verify_es256_or_rs256_is_passed_over(member: object) -> None:
    keys = read_key_set(key_set(member, ec_jwk("good")))

    assert list(keys) == ["good"]


@pytest.mark.parametrize("name", ["alg", "use", "key_ops", "ext"])
def test_a_key_need_not_say_what_is_optional(name: str) -> None:
    keys = read_key_set(key_set(without(ec_jwk("one"), name)))

    assert keys["one"].algorithm == "ES256"


def test_private_parts_in_a_set_are_not_read() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    given_away = {**ECAlgorithm.to_jwk(private, as_dict=True), "kid": "ec"}
    rsa_given_away = {**RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True), "kid": "rsa", "key_ops": ["verify"]}

    keys = read_key_set(key_set(given_away, rsa_given_away))

    assert isinstance(keys["ec"].public_key, ec.EllipticCurvePublicKey)
    assert isinstance(keys["rsa"].public_key, rsa.RSAPublicKey)


def test_the_first_key_of_a_name_counts() -> None:
    keys = read_key_set(key_set(rsa_jwk("one"), ec_jwk("one")))

    assert keys["one"].algorithm == "RS256"


# --- ages and pauses -------------------------------------------------------------------------------


def test_a_fresh_set_is_not_fetched_again() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    first = jwks.key("one")

    provider.now_s = REFRESH_AFTER_S - 1

    assert jwks.key("one") is first
    assert provider.asked == 1


def test_a_set_is_fetched_again_before_it_is_ten_minutes_old() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    jwks.key("one")

    provider.now_s = 599.0
    jwks.key("one")

    assert provider.asked == 2
    assert MAX_AGE_S == 600


def test_an_unknown_kid_is_looked_for_once_in_thirty_seconds() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    jwks.key("one")

    for provider.now_s in (1.0, 10.0, 29.0):
        assert jwks.key("new") is None
    assert provider.asked == 1

    for provider.now_s in (30.0, 31.0, 59.0):
        assert jwks.key(f"new-{provider.now_s:.0f}") is None
    assert provider.asked == 2


def test_a_key_that_was_rotated_in_is_found_by_asking_again() -> None:
    provider = Provider(ec_jwk("old"))
    jwks = provider.jwks()
    jwks.key("old")

    provider.members += (ec_jwk("new"),)
    provider.now_s = PAUSE_S
    found = jwks.key("new")

    assert found is not None
    assert found.kid == "new"


def test_a_key_that_left_the_set_is_gone_after_the_next_fetch() -> None:
    provider = Provider(ec_jwk("old"), ec_jwk("new"))
    jwks = provider.jwks()
    assert jwks.key("old") is not None

    provider.members = provider.members[1:]
    provider.now_s = REFRESH_AFTER_S

    assert jwks.key("old") is None
    assert jwks.key("new") is not None


def test_a_key_that_left_the_set_is_gone_when_another_kid_made_the_fetch() -> None:
    provider = Provider(ec_jwk("old"))
    jwks = provider.jwks()
    assert jwks.key("old") is not None

    provider.members = (ec_jwk("new"),)
    provider.now_s = PAUSE_S
    jwks.key("new")

    assert jwks.key("old") is None


def test_keys_at_hand_are_used_for_a_day_while_the_provider_is_down() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    first = jwks.key("one")

    provider.up = False
    for provider.now_s in (REFRESH_AFTER_S, MAX_AGE_S + 1, 3600.0, GRACE_S - 1):
        assert jwks.key("one") is first


def test_keys_at_hand_are_not_used_for_longer_than_a_day() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    jwks.key("one")

    provider.up = False
    provider.now_s = GRACE_S

    with pytest.raises(UnavailableError) as caught:
        jwks.key("one")
    assert caught.value.retry_after_s == COLD_PAUSE_S


def test_a_provider_that_is_down_is_asked_once_in_thirty_seconds() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    jwks.key("one")
    provider.up = False

    for second in range(3600, 3660):
        provider.now_s = float(second)
        jwks.key("one")

    assert provider.asked == 3


def test_an_unknown_kid_is_not_denied_while_the_provider_is_down() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()
    jwks.key("one")
    provider.up = False
    provider.now_s = PAUSE_S

    with pytest.raises(UnavailableError):
        jwks.key("new")
    provider.now_s += 10
    with pytest.raises(UnavailableError) as caught:
        jwks.key("new")

    assert caught.value.retry_after_s == PAUSE_S - 10
    assert provider.asked == 2


def test_a_cold_start_asks_again_after_five_seconds_and_recovers() -> None:
    provider = Provider(ec_jwk("one"))
    provider.up = False
    jwks = provider.jwks()

    waits_s = []
    for provider.now_s in (0.0, 1.0, 4.5):
        with pytest.raises(UnavailableError) as caught:
            jwks.key("one")
        waits_s.append(caught.value.retry_after_s)
    assert waits_s == [5, 4, 1]
    assert provider.asked == 1

    provider.up = True
    provider.now_s = COLD_PAUSE_S
    assert jwks.key("one") is not None


def test_asking_whether_a_kid_is_known_fetches_nothing() -> None:
    provider = Provider(ec_jwk("one"))
    jwks = provider.jwks()

    assert not jwks.knows("one")
    assert provider.asked == 0
    jwks.key("one")
    assert jwks.knows("one")
    assert not jwks.knows("two")


# --- many at once ----------------------------------------------------------------------------------


class Crowd:
    """Threads that ask for a key while a fetch is held open until all of them have come."""

    def __init__(self, *members: Json) -> None:
        self.members = members
        self.now_s = 0.0
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()
        self.fetching = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.jwks = Jwks("", fetch=self._fetch, clock=self._clock)

    def _fetch(self, _: str) -> bytes:
        self.asked += 1
        body = key_set(*self.members)
        self.fetching.set()
        assert self.hold.wait(10)
        return body

    def _clock(self) -> float:
        # Asking for the time is the first thing that a request for a key does.
        self.arrived.release()
        return self.now_s

    def ask(self, kid: str, times: int = 1) -> tuple[list[threading.Thread], list[VerifyingKey | None]]:
        """Start as many requests for the key; give their threads and, later, their answers."""
        answers: list[VerifyingKey | None] = []
        threads = [threading.Thread(target=lambda: answers.append(self.jwks.key(kid))) for _ in range(times)]
        for thread in threads:
            thread.start()
        return threads, answers

    def wait_for(self, times: int) -> None:
        """Return when the time was asked for that often."""
        for _ in range(times):
            assert self.arrived.acquire(timeout=10)


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_many_threads_at_a_cold_start_make_one_fetch() -> None:
    crowd = Crowd(ec_jwk("one"))
    crowd.hold.clear()

    threads, answers = crowd.ask("one", times=32)
    crowd.wait_for(32)
    crowd.hold.set()
    join(threads)

    assert crowd.asked == 1
    assert len(answers) == 32
    assert {answer.kid for answer in answers if answer} == {"one"}
    assert None not in answers


def test_many_threads_with_an_unknown_kid_make_one_fetch() -> None:
    crowd = Crowd(ec_jwk("one"))
    crowd.jwks.key("one")
    crowd.now_s = PAUSE_S
    crowd.hold.clear()
    crowd.fetching.clear()

    threads, answers = crowd.ask("new", times=32)
    assert crowd.fetching.wait(10)
    crowd.hold.set()
    join(threads)

    assert crowd.asked == 2
    assert answers == [None] * 32


def test_a_key_at_hand_is_not_held_up_by_a_fetch_under_way() -> None:
    crowd = Crowd(ec_jwk("one"))
    first = crowd.jwks.key("one")
    crowd.now_s = REFRESH_AFTER_S
    crowd.hold.clear()
    crowd.fetching.clear()
    threads, _ = crowd.ask("one")
    assert crowd.fetching.wait(10)

    during = crowd.jwks.key("one")

    crowd.hold.set()
    join(threads)
    assert during is first
    assert crowd.asked == 2


def test_a_key_older_than_ten_minutes_waits_for_the_fetch_under_way() -> None:
    crowd = Crowd(ec_jwk("old"))
    crowd.jwks.key("old")
    crowd.now_s = MAX_AGE_S
    crowd.members = (ec_jwk("new"),)
    crowd.hold.clear()
    crowd.fetching.clear()
    first, _ = crowd.ask("old")
    assert crowd.fetching.wait(10)
    while crowd.arrived.acquire(blocking=False):
        pass

    second, answers = crowd.ask("old")
    crowd.wait_for(2)
    crowd.hold.set()
    join(first + second)

    assert answers == [None]
    assert crowd.asked == 2


def test_many_greenlets_make_one_fetch() -> None:
    script = textwrap.dedent(
        """
        from gevent import monkey
        monkey.patch_all()
        import sys, gevent
        from gevent.pywsgi import WSGIServer
        from app.services.jwks import Jwks

        asked, body = [], sys.stdin.buffer.read()

        def provider(environ, start_response):
            asked.append(environ["PATH_INFO"])
            gevent.sleep(0.05)
            start_response("200 OK", [("Content-Type", "application/json")])
            return [body]

        server = WSGIServer(("127.0.0.1", 0), provider, log=None)
        server.start()
        jwks = Jwks(f"http://127.0.0.1:{server.server_port}/keys")
        crowd = [gevent.spawn(jwks.key, "one") for _ in range(50)]
        gevent.joinall(crowd, timeout=20, raise_error=True)
        print(len(asked), sum(greenlet.value.kid == "one" for greenlet in crowd))
        """
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        input=key_set(ec_jwk("one")),
        capture_output=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
    )

    assert done.stdout.split() == [b"1", b"50"], done.stderr.decode()
