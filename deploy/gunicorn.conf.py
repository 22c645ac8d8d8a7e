"""gunicorn's settings, the same under `make serve`, in the container and in tests.

The worker class was chosen by measurement: docs/adr/0001-worker-class.md. Modules are loaded after the
worker was forked and patched (no preload), so that psycopg finds gevent's `select` and waits with it,
and every worker opens pools of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import gunicorn.http.wsgi
import gunicorn.util
import structlog
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from app.cli.lifeline import end_with_serve
from config import Settings

settings = Settings.from_environment()


class QuietLogger(Logger):  # type: ignore[misc] # the library has no types
    """Writes no access log: with a `logconfig_dict`, gunicorn makes each line's parts and throws them away."""

    def _compute_access_log_enabled(self) -> bool:
        return False


logger_class = QuietLogger

_HOST: Final = f"[{settings.host}]" if ":" in settings.host else settings.host
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - gunicorn makes a file of its own there

bind = f"{_HOST}:{settings.port}"
workers = settings.workers
worker_class = "gevent"
worker_connections = 1000
preload_app = False
backlog = 2048

# A worker that does not come back to its event loop for this long is replaced.
timeout = 60
graceful_timeout = 30
# A load balancer keeps connections open longer than this side must; a browser should not delay a stop.
keepalive = 75 if settings.trusted_proxies else 5
# The heartbeat files: on a disk they can stall a worker.
worker_tmp_dir = str(_IN_MEMORY) if os.access(_IN_MEMORY, os.W_OK) else None

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16384

# The app counts its proxies itself (TRUSTED_PROXIES); here nobody's word is taken for anything.
forwarded_allow_ips = ""
forwarder_headers = ""
header_map = "drop"

# No second way in: gunicorn would open a control socket in the home folder.
control_socket_disable = True

# The app writes one line for each request.
accesslog = None
errorlog = "-"
loglevel = "warning"
logconfig_dict = {
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"level": "WARNING", "handlers": ["stderr"], "propagate": False}},
}


def on_starting(server: Any) -> None:  # noqa: ANN401 - the library has no types
    """Stop with the `serve` that started this process, and make a place where the workers share their numbers."""
    end_with_serve()
    server.metrics_folder = tempfile.mkdtemp(prefix="cryoprotect-metrics-", dir=worker_tmp_dir)


def on_exit(server: Any) -> None:  # noqa: ANN401 - the library has no types
    """Take away what the workers left."""
    shutil.rmtree(server.metrics_folder, ignore_errors=True)


def post_fork(server: Any, worker: Worker) -> None:  # noqa: ANN401 - the library has no types
    """Tell the worker where the others write what they have counted."""
    worker.metrics_folder = Path(server.metrics_folder)


def post_worker_init(worker: Worker) -> None:
    """Let the worker look after what comes round by itself."""
    services = _services(worker)
    if services is not None:
        services.workers.share(worker.metrics_folder)
        services.maintenance.start()


def worker_exit(_server: object, worker: Worker) -> None:
    """Close the worker's connections and end its chemistry processes while its event loop still turns."""
    services = _services(worker)
    if services is not None:
        services.maintenance.stop()
        services.workers.stop()
        services.chemistry.close()
        if services.supabase_auth is not None:
            services.supabase_auth.close()
        if services.fallback is not None:
            services.fallback.close()
        services.database.close()
        if services.tracing is not None:
            services.tracing.close()


def _services(worker: Worker) -> Any:  # noqa: ANN401 - the app's modules may not be imported before the patching
    # By name for the same reason; none where the app could not be loaded.
    return getattr(worker.wsgi, "extensions", {}).get("cryoprotect")


def write_problem(client: socket.socket, status: int, reason: str, detail: str) -> None:
    """Answer a request that cannot be parsed as everything else is answered: as problem+json."""
    body = json.dumps(
        {
            "type": "about:blank",
            "title": reason,
            "status": status,
            "detail": detail or HTTPStatus(status).description,
            "code": reason.lower().replace(" ", "_"),
            "request_id": str(uuid4()),
        }
    ).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    gunicorn.util.write_nonblock(client, head.encode() + body)


class WholeResponse(gunicorn.http.wsgi.Response):  # type: ignore[misc] # the library has no types
    """Sends the head of an answer together with its body, where the body comes in one piece.

    gunicorn sends one after the other: a second system call, and clients that wake up for the head alone.
    """

    headers_sent: bool

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self.headers_sent or self._omits_body or len(data) != self.response_length:
            super().write(data)
            return
        fields = [f"{name}: {value}\r\n" for name, value in self.headers]
        head = "".join([*self.default_headers(), *fields, "\r\n"])
        self.headers_sent = True
        self.sent = len(data)
        gunicorn.util.write(self.sock, head.encode("latin-1") + data)


# There is no setting for either. HTTP/2, were it on, names a class of its own.
gunicorn.http.wsgi.create = partial(gunicorn.http.wsgi.create, response_class=WholeResponse)
# A subclass could only copy the method that chooses the status.
gunicorn.util.write_error = write_problem
