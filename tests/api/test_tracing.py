"""Traces: what a collector receives from the real server, and what a server does without one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import requests

from config import Settings
from tests.api.conftest import PROJECT, running_gunicorn
from tests.plugins.database import SECRET

trace_service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra otel is not installed"
)
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT: Final = "b7ad6b7169203331"
TIMEOUT_S: Final = 10.0
SERVER, CLIENT, ERROR = 2, 3, 2


@dataclass
class Collector:
    """What was received, as it came and as spans."""

    url: str
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, trace_id: str) -> list[Any]:
        """Return the spans of a trace."""
        found = []
        for body in list(self.bodies):
            for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return [span for span in found if span.trace_id.hex() == trace_id]

    def ended(self, trace_id: str) -> tuple[Any, list[Any]]:
        """Return the request's span, which ends last, and its children."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not any(span.kind == SERVER for span in self.spans(trace_id)):
            assert time.monotonic() < deadline_s, "no span came"
            time.sleep(0.05)
        spans = self.spans(trace_id)
        (request,) = [span for span in spans if span.kind == SERVER]
        return request, [span for span in spans if span is not request]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Give a collector of OTLP over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.paths.append(self.path)
            made.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file into which the server logs."""
    return tmp_path_factory.mktemp("tracing") / "log"


@pytest.fixture(scope="module")
def traced(settings: Settings, collector: Collector, log: Path) -> Iterator[str]:
    """Give the address of a server that sends traces to the collector."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "LOG_LEVEL": "INFO"}
    with running_gunicorn(settings, log, **variables) as url:
        yield url


@pytest.fixture
def ask(traced: str) -> Callable[..., tuple[requests.Response, str]]:
    """Give a client that begins a trace; it returns the answer and the trace's id."""

    def get(path: str, **kwargs: Any) -> tuple[requests.Response, str]:
        trace_id = uuid4().hex
        headers = {"traceparent": f"00-{trace_id}-{PARENT}-01"}
        return requests.request(kwargs.pop("method", "GET"), f"{traced}{path}", headers=headers, timeout=20), trace_id

    return get


Ask = Callable[..., tuple[requests.Response, str]]


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def test_a_request_is_a_span_of_the_callers_trace_and_its_statements_are_below_it(ask: Ask, collector: Collector):
    secret_id = uuid4()

    answer, trace_id = ask(f"/api/v1/molecules/{secret_id}?only=name")

    assert answer.status_code == 404
    request, statements = collector.ended(trace_id)
    assert request.parent_span_id.hex() == PARENT
    assert request.name == "GET /api/v1/molecules/<uuid:molecule_id>"
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.route": "/api/v1/molecules/<uuid:molecule_id>",
        "http.response.status_code": 404,
    }
    assert [(span.name, span.kind, span.parent_span_id) for span in statements] == [
        ("molecules.one", CLIENT, request.span_id)
    ]
    assert attributes(statements[0]) == {"db.system.name": "postgresql"}
    assert request.start_time_unix_nano <= statements[0].start_time_unix_nano
    assert statements[0].end_time_unix_nano <= request.end_time_unix_nano
    sent = b"".join(collector.bodies)
    assert not any(word in sent for word in (str(secret_id).encode(), b"SELECT", b"only=", b"cryoprotect_request"))
    assert set(collector.paths) == {"/v1/traces"}


def test_the_log_says_the_trace(ask: Ask, log: Path):
    answer, trace_id = ask("/api/v1/version")

    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    (said,) = [line for line in lines if line.get("request_id") == answer.headers["X-Request-ID"]]
    assert (said["event"], said["trace_id"]) == ("request", trace_id)


def test_what_leads_to_no_view_is_called_so(ask: Ask, collector: Collector):
    _, trace_id = ask("/marie@example.org", method="SECRETWORD")

    request, statements = collector.ended(trace_id)

    assert (request.name, statements) == ("_OTHER none", [])
    assert "http.route" not in attributes(request)
    assert not any(word in body for body in collector.bodies for word in (b"marie", b"SECRETWORD"))


def test_a_stream_is_under_way_until_its_end(ask: Ask, collector: Collector):
    answer, trace_id = ask("/api/v1/molecules?format=ndjson")

    assert answer.status_code == 200
    request, statements = collector.ended(trace_id)
    assert "molecules.page" in {span.name for span in statements}
    assert all(span.end_time_unix_nano <= request.end_time_unix_nano for span in statements)


@pytest.mark.parametrize("given", [None, "00-0-0-01", "x" * 5000])
def test_a_trace_begins_here_where_none_is_given(traced: str, collector: Collector, log: Path, given: str | None):
    headers = {"X-Request-ID": uuid4().hex} | ({"traceparent": given} if given else {})

    assert requests.get(f"{traced}/api/v1/version", headers=headers, timeout=10).status_code == 200

    (line,) = [line for line in log.read_text().splitlines() if headers["X-Request-ID"] in line]
    request, _ = collector.ended(json.loads(line)["trace_id"])
    assert request.parent_span_id == b""


def test_each_request_of_many_at_once_has_its_own_statements(ask: Ask, collector: Collector):
    found: list[tuple[int, str]] = []

    def work() -> None:
        for _ in range(5):
            answer, trace_id = ask(f"/api/v1/molecules/{uuid4()}")
            found.append((answer.status_code, trace_id))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status for status, _ in found] == [404] * 40
    for _, trace_id in found:
        request, statements = collector.ended(trace_id)
        assert [(span.name, span.parent_span_id) for span in statements] == [("molecules.one", request.span_id)]


@pytest.fixture(params=[True, False], ids=["silent", "refusing"])
def no_collector(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of something that takes connections and says nothing, or of nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if not request.param:
            listener.close()
        yield address


def test_a_collector_that_is_not_there_costs_no_request_and_no_stop(
    settings: Settings, tmp_path: Path, no_collector: str
):
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": no_collector, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with running_gunicorn(settings, tmp_path / "log", **variables) as url:
        durations_s = []
        for _ in range(20):
            started_s = time.monotonic()
            assert requests.get(f"{url}/api/v1/molecules?limit=1", timeout=10).status_code == 200
            durations_s.append(time.monotonic() - started_s)
            time.sleep(0.02)
        began_s = time.monotonic()

    assert max(durations_s) < 1.0
    assert time.monotonic() - began_s < 10.0


OFF: Final = """
import sys
from app.factory import create_app
from config import Settings
app = create_app(Settings.from_environment())
assert app.test_client().get("/api/v1/molecules?limit=1").status_code == 200
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
print({pool.measures.on_statement for pool in app.extensions["cryoprotect"].database.pools})
app.extensions["cryoprotect"].database.close()
"""


def test_without_a_collector_nothing_of_it_is_loaded(settings: Settings):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "CRYOPROTECT_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "SUPABASE_JWT_SECRET": SECRET,
        "LOG_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-c", OFF], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["[]", "{None}"]
