"""Traces for OpenTelemetry: a span of each request, and below it one of each statement, sent by OTLP over HTTP.

Imported only where traces are asked for. A span says what the metrics say, of one request: the route and never the
address, a statement's name and never its text or its parameters. The community's own instrumentation of Flask records
addresses, which hold ids and what was searched for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from flask import Flask, Response, request
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict

from api.common.traffic import NO_ROUTE, OTHER_METHOD, known_method
from app import VERSION
from database.pool import Pool

CLOSE_S: Final = 3.0
"""What is left is sent when the process ends; a collector that does not answer holds nobody up for longer."""
_SERVER_ERROR: Final = 500
_CONTEXT: Final = TraceContextTextMapPropagator()
# Kept by greenlet as by thread; a stream's pages are read after Flask has forgotten its request.
_SPAN: ContextVar[Span | None] = ContextVar("request_span", default=None)


class Tracing:
    """The traces of one process; made after fork, for it starts a thread that sends them."""

    def __init__(self, traces_url: str) -> None:
        """Send to a collector's full address; all else is set by OpenTelemetry's own variables."""
        about = Resource({"service.name": "cryoprotect", "service.version": VERSION})
        self._provider = TracerProvider(resource=about.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=traces_url)))
        self._tracer = self._provider.get_tracer("cryoprotect", VERSION)

    def register(self, app: Flask, pools: Iterable[Pool]) -> None:
        """Trace the app's requests, and their statements on these pools."""
        app.before_request(self._begin)
        app.after_request(_finish)
        for pool in pools:
            pool.measures.on_statement = self._add_statement

    def close(self) -> None:
        """Send what is left, and no more."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _begin(self) -> None:
        method = known_method(request)
        method = "_OTHER" if method == OTHER_METHOD else method
        rule = request.url_rule
        attributes = {"http.request.method": method}
        given = {name: request.headers[name] for name in _CONTEXT.fields if name in request.headers}
        if rule is not None:
            attributes["http.route"] = rule.rule
        _SPAN.set(
            self._tracer.start_span(
                f"{method} {NO_ROUTE if rule is None else rule.rule}",
                _CONTEXT.extract(given),
                SpanKind.SERVER,
                attributes,
            )
        )

    def _add_statement(self, name: str, seconds: float) -> None:
        span = _SPAN.get()
        if span is None or not span.is_recording():
            return
        ended_ns = time.time_ns()
        begun_ns = ended_ns - round(seconds * 1e9)
        kind, about = SpanKind.CLIENT, {"db.system.name": "postgresql"}
        statement = self._tracer.start_span(name, set_span_in_context(span), kind, about, start_time=begun_ns)
        statement.end(ended_ns)


def add_trace_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put the trace's id into a line that is logged while a request is answered."""
    span = _SPAN.get()
    if span is not None:
        event["trace_id"] = format_trace_id(span.get_span_context().trace_id)
    return event


def _finish(response: Response) -> Response:
    span = _SPAN.get()
    if span is not None:
        span.set_attribute("http.response.status_code", response.status_code)
        if response.status_code >= _SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        # A stream is under way until its end.
        response.call_on_close(lambda: _end(span))
    return response


def _end(span: Span) -> None:
    _SPAN.set(None)
    span.end()
