"""What a monitor scrapes: the build, what the workers counted, and what stands in the database.

The answer is the same whichever worker gives it, but for what the others counted in the last few seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from flask import current_app
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from api.common.context import services, timing
from api.system.measures import exposed
from app import VERSION
from app.domain.callers import SERVICE
from app.errors import UnavailableError
from app.seed import RELEASE
from app.services.maintenance import MOLECULE_SUMMARY
from database.repositories.maintenance import ImportState, MaintenanceReader, ServiceState, TaskState

TIME_LIMIT_S: Final = 2.0
"""For a connection, and then for the answer: a monitor gives up after 10 s and has then learned nothing."""


class StateCollector(Collector):
    """Reads the state once a scrape, in one round trip, and holds no connection when it goes on."""

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        """Yield the metrics; without a database those that need none."""
        head = current_app.config["MIGRATION_HEAD"]
        build = {"version": VERSION, "data_release": RELEASE, "migration_head": head}
        yield InfoMetricFamily("cryoprotect_build", "What runs here.", build)
        try:
            state = MaintenanceReader(
                services().database.reading(SERVICE, timing(), wait_s=TIME_LIMIT_S, anyway=True)
            ).state(limit_s=TIME_LIMIT_S)
        except UnavailableError:
            yield GaugeMetricFamily("cryoprotect_database_up", _UP, 0)
            return
        except Exception:  # noqa: BLE001 - it answers, but has not the tables of this version
            state = ServiceState(None, [], [], 0, [])
        yield GaugeMetricFamily("cryoprotect_database_up", _UP, 1)
        yield GaugeMetricFamily(
            "cryoprotect_database_at_head",
            "Whether the schema is the one that this version needs.",
            state.revision == head,
        )
        yield from _maintenance(state.tasks)
        yield from _imports(state.imports)
        if state.revision is not None:
            yield from _jobs(state)


class WorkersCollector(Collector):
    """Adds up what the workers counted."""

    def collect(self) -> Iterator[Metric]:
        """Yield the workers' metrics."""
        yield from exposed(services().workers.numbers())


class RoomCollector(Collector):
    """Keeps the name of what nothing measures yet, so that rules and dashboards can be written."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield a metric without a value."""
        yield GaugeMetricFamily("cryoprotect_backup_age_seconds", "Time since the newest backup that was verified.")


_UP: Final = "Whether the database answered this scrape in time."
REGISTRY: Final = CollectorRegistry()
for _collector in (StateCollector(), WorkersCollector(), RoomCollector()):
    REGISTRY.register(_collector)


def _maintenance(tasks: Sequence[TaskState]) -> Iterator[GaugeMetricFamily]:
    since = _by_task("since_run_seconds", "Time since the task's last run that ended well.")
    took = _by_task("run_duration_seconds", "How long that run took.")
    failed = _by_task("last_run_failed", "Whether the task's last run failed.")
    age = GaugeMetricFamily(
        "cryoprotect_molecule_summary_age_seconds",
        "Time since the summary of public molecules was made, or found to be up to date.",
    )
    for task in tasks:
        failed.add_metric([task.task], task.failed)
        if task.age_s is not None and task.took_s is not None:
            since.add_metric([task.task], task.age_s)
            took.add_metric([task.task], task.took_s)
            if task.task == MOLECULE_SUMMARY:
                # The rows are those of the moment when the run began.
                age.add_metric([], task.age_s + task.took_s)
    yield from (age, since, took, failed)


def _imports(states: Sequence[ImportState]) -> Iterator[GaugeMetricFamily]:
    runs = GaugeMetricFamily("cryoprotect_import_runs", "Import runs by state.", labels=["state"])
    for state in states:
        runs.add_metric([state.state], state.count)
    yield runs
    yield GaugeMetricFamily(
        "cryoprotect_import_still_seconds",
        "Time since the running import that has come on least lately came on; 0 without any.",
        max((state.still_s for state in states if state.state == "running"), default=0),
    )


def _jobs(state: ServiceState) -> Iterator[GaugeMetricFamily]:
    waiting = _by_queue("waiting", "Jobs that wait for a worker, or for their next attempt.")
    running = _by_queue("running", "Jobs that workers are at.")
    failed = _by_queue("failed", "Jobs that were given up, of the last 90 days.")
    oldest = _by_queue("oldest_waiting_seconds", "For how long the oldest job that could be run has waited.")
    for item in state.queues:
        waiting.add_metric([item.queue], item.waiting)
        running.add_metric([item.queue], item.running)
        failed.add_metric([item.queue], item.failed)
        oldest.add_metric([item.queue], item.oldest_s)
    yield from (waiting, running, failed, oldest)
    yield GaugeMetricFamily("cryoprotect_job_workers", "Workers heard of within a minute.", state.workers)


def _by_queue(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cryoprotect_jobs_{name}", documentation, labels=["queue"])


def _by_task(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cryoprotect_maintenance_{name}", documentation, labels=["task"])
