"""The long run (`make soak`): everyday load, then every fault for as long as it lasts in bad times, and a report.

python -m tests.faults.soak --help
"""

from __future__ import annotations

import itertools
import os
import platform
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import requests

from database.embedded import EmbeddedServer
from tests.faults.clients import PAUSE_S, Clients, HttpCaller
from tests.faults.conftest import RECORDS, SETTINGS, Server, fill, stored
from tests.faults.history import OK, RECOVERY_S, UNAVAILABLE, Activity, Event, History
from tests.faults.proxy import FaultyNetwork
from tests.faults.web_server import PROJECT, Gunicorn

REPORT: Final = PROJECT / "docs" / "soak.md"
HEAD: Final = """\
# The long run

`make soak`, {minutes:.0f} minutes: gunicorn's two workers before a PostgreSQL of their own, with a network between
them that fails on command, and the clients on the same machine ({cores} cores, Python {python}). Its load averages over
1, 5 and 15 minutes were {before} before and {after} after the run; what is above the number of cores
is the work of others.{left_out}

Everyday load is three clients that read and one that writes, with pauses. All else is sixteen clients without any:
eight read, seven write, one streams all molecules. While backends are ended the clients heed `Retry-After` and write
under Idempotency-Keys; otherwise they ask on at once, and half of the writes have none. What was acknowledged, what
was refused and whose rows were seen is checked for each phase by `tests/faults/history.py`.

| Phase | Requests | Answers |
|---|---|---|"""
NORMAL: Final[dict[Activity, int]] = {"read": 3, "write": 1}
MIXED: Final[dict[Activity, int]] = {"read": 8, "write": 7, "stream": 1}
NORMAL_PAUSE_S: Final = 0.05
LONG_S: Final = 60.0
LONG_PAUSE_S: Final = 0.2
BEFORE_S: Final = 2.0
KILL_EVERY_S: Final = 1.0
SAMPLE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """One figure beside what is wanted."""

    name: str
    wanted: str
    measured: str
    met: bool


@dataclass
class Soak:
    """The servers, and what was found so far."""

    server: Server
    network: FaultyNetwork
    gunicorn: Gunicorn
    results: list[Result] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Of the table of phases."""

    def clients(self, *, obeys: bool = False, pause_s: float = PAUSE_S) -> Clients:
        """Return clients with a history of their own."""
        return Clients(lambda token: HttpCaller(self.gunicorn.url, token), RECORDS, obeys=obeys, pause_s=pause_s)

    def normal(self, seconds: float) -> None:
        """Measure the everyday."""
        clients = self.clients(pause_s=NORMAL_PAUSE_S)
        with self._sampled() as samples, clients.at_work(NORMAL) as history:
            time.sleep(seconds)
            healed_s = time.monotonic()
            clients.go_on_from(healed_s)
        self._check("everyday load", history, healed_s)
        events = history.events
        waited_ms = sum(event.pool_s for event in events) / len(events) * 1000
        refused = sum(event.status not in OK for event in events) / len(events)
        quick = sum(event.ended_s - event.started_s < 0.5 for event in events) / len(events)
        used = sum(in_use for in_use, _ in samples) / max(1, sum(most for _, most in samples))
        full = sum(in_use >= most for in_use, most in samples)
        self._say("everyday load: wait for a connection, on average", "< 10 ms", f"{waited_ms:.2f} ms", waited_ms < 10)
        self._say("everyday load: connections in use", "< 80 %", f"{used:.1%}", used < 0.8)
        self._say("everyday load: pool found full", "0 times", f"{full} of {len(samples)}", full == 0)
        self._say("everyday load: connection errors", "< 0.1 %", f"{refused:.3%}", refused < 0.001)
        self._say("everyday load: queries answered", ">= 99.99 %", f"{1 - refused:.3%}", refused <= 0.0001)
        self._say("everyday load: answers in less than 500 ms", ">= 99 %", f"{quick:.2%}", quick >= 0.99)

    def kills(self, seconds: float) -> None:
        """End all backends once a second."""
        clients = self.clients(obeys=True)
        killed = 0
        with clients.at_work(MIXED) as history:
            ends_s = time.monotonic() + seconds
            while time.monotonic() < ends_s:
                time.sleep(KILL_EVERY_S)
                killed += self.server.kill()
            healed_s = time.monotonic()
            clients.go_on_from(healed_s)
        self._check(f"{killed} backends ended in {seconds:.0f} s", history, healed_s)
        share = succeeded(history.events)
        codes = Counter(f"{event.activity} {event.code}" for event in history.events if event.status not in OK)
        click.echo(f"  refused: {dict(codes)}", err=True)
        self._say("all backends ended every second: success, one retry", ">= 99.9 %", f"{share:.3%}", share >= 0.999)

    def outage(self, seconds: float) -> None:
        """Crash, stay away, and come back."""
        # Through a long one there is no need to ask hundreds of times a second.
        clients = self.clients(pause_s=LONG_PAUSE_S if seconds > LONG_S else PAUSE_S)
        with clients.at_work(MIXED) as history:
            time.sleep(BEFORE_S)
            self.server.stop_immediately()
            time.sleep(seconds)
            self.server.start()
            healed_s = time.monotonic()
            clients.go_on_from(healed_s)
        name = f"an outage of {seconds:.0f} s"
        self._check(name, history, healed_s)
        recovery_s = recovery(history.events, healed_s)
        self._say(f"{name}: recovery", f"< {RECOVERY_S:.0f} s", f"{recovery_s:.2f} s", recovery_s < RECOVERY_S)

    def freeze(self, seconds: float) -> None:
        """Let nothing pass any more, without a word."""
        clients = self.clients()
        with clients.at_work(MIXED) as history:
            time.sleep(BEFORE_S)
            frozen_s = time.monotonic()
            self.network.freeze()
            time.sleep(seconds)
            self.network.thaw()
            healed_s = time.monotonic()
            clients.go_on_from(healed_s)
        name = f"a network frozen for {seconds:.0f} s"
        self._check(name, history, healed_s)
        refused_s = [event.ended_s for event in history.events if event.status not in OK and event.ended_s > frozen_s]
        noticed_s = min(refused_s, default=float("inf")) - frozen_s
        recovery_s = recovery(history.events, healed_s)
        self._say(f"{name}: noticed", "< 5 s", f"{noticed_s:.2f} s", noticed_s < 5)
        self._say(f"{name}: recovery", f"< {RECOVERY_S:.0f} s", f"{recovery_s:.2f} s", recovery_s < RECOVERY_S)

    def _check(self, phase: str, history: History, healed_s: float) -> None:
        violations = history.violations(stored(self.server), healed_s=healed_s)
        for violation in violations:
            click.echo(f"  {violation}", err=True)
        errors = sum(event.status >= 500 and event.status != UNAVAILABLE for event in history.events)
        self._say(f"{phase}: answers of 500", "0", str(errors), errors == 0)
        sentences = "; ".join(violations[:3]) or "none"
        self._say(f"{phase}: writes lost or doubled, rows of others, late failures", "none", sentences, not violations)
        self.lines.append(f"| {phase} | {len(history.events):,} | {_by_status(history)} |")
        self.server.execute("DELETE FROM public.teams")

    def _say(self, name: str, wanted: str, measured: str, met: bool) -> None:  # noqa: FBT001 - one row of a table
        self.results.append(Result(name, wanted, measured, met))
        click.echo(f"{'ok    ' if met else 'MISSED'} {name}: {measured} (wanted: {wanted})", err=True)

    @contextmanager
    def _sampled(self) -> Iterator[list[tuple[int, int]]]:
        """Note connections in use and the most that may be, of the worker that answers, while the block runs."""
        samples: list[tuple[int, int]] = []
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLE_S):
                pools = requests.get(f"{self.gunicorn.url}/health/ready", timeout=10).json()["pools"]
                samples.append((pools[0]["in_use"], pools[0]["max_size"]))

        thread = threading.Thread(target=sample, name="sampler")
        thread.start()
        try:
            yield samples
        finally:
            ended.set()
            thread.join()


def succeeded(events: Sequence[Event]) -> float:
    """Return the share of what clients wanted that they got at once or at the second attempt after a 503.

    A client's next read is its second attempt at a read. A write is attempted again only under an Idempotency-Key; one
    without whose outcome is not known has failed.
    """
    wanted = got = 0
    by_client = sorted(events, key=lambda event: (event.client, event.started_s))
    for _, group in itertools.groupby(by_client, key=lambda event: event.client):
        mine = list(group)
        turn = 0
        while turn < len(mine):
            event = mine[turn]
            follower = mine[turn + 1] if turn + 1 < len(mine) else None
            turn += 1
            wanted += 1
            if event.status in OK:
                got += 1
            elif follower and (follower.activity, follower.name) == (event.activity, event.name):
                got += follower.status in OK
                turn += 1
    return got / wanted if wanted else 0.0


def recovery(events: Sequence[Event], healed_s: float) -> float:
    """Return how long after that moment the last request was sent that failed, or the first one succeeded."""
    after = [event for event in events if event.started_s >= healed_s]
    failed_s = max((event.ended_s for event in after if event.status not in OK), default=healed_s)
    first_s = min((event.ended_s for event in after if event.status in OK), default=float("inf"))
    return max(failed_s, first_s) - healed_s


def _by_status(history: History) -> str:
    totals = Counter(event.status for event in history.events)
    return ", ".join(f"{status or 'broken off'}: {count:,}" for status, count in sorted(totals.items()))


def _load() -> str:
    return ", ".join(f"{average:.1f}" for average in os.getloadavg())


def _report(soak: Soak, load_before: str, took_s: float, *, whole: bool) -> str:
    left_out = "" if whole else " The long outage was left out of this run; `make soak` has it."
    results = [
        f"| {one.name} | {one.wanted} | {one.measured} | {'reached' if one.met else '**missed**'} |"
        for one in soak.results
    ]
    return "\n".join(
        [
            HEAD.format(
                minutes=took_s / 60,
                cores=os.cpu_count(),
                python=platform.python_version(),
                before=load_before,
                after=_load(),
                left_out=left_out,
            ),
            *soak.lines,
            "",
            "| Figure | Wanted | Measured | |",
            "|---|---|---|---|",
            *results,
            "",
        ]
    )


@click.command()
@click.option("--normal", default=60.0, help="Seconds of everyday load.")
@click.option("--kills", default=60.0, help="Seconds in which all backends are ended once a second.")
@click.option("--outage", default=30.0, help="Seconds of the short outage.")
@click.option("--freeze", default=10.0, help="Seconds for which the network is frozen.")
@click.option("--long-outage", default=360.0, help="Seconds of the long outage; 0 leaves it out.")
@click.option("--report", type=click.Path(path_type=Path), default=REPORT, help="Where the report goes.")
def main(report: Path, **seconds: float) -> None:
    """Run everything and write the report; the exit status is 1 where a figure missed what is wanted."""
    load_before, began_s = _load(), time.monotonic()
    with ExitStack() as stack:
        soak = _started(stack)
        for name, phase in (
            ("normal", soak.normal),
            ("kills", soak.kills),
            ("outage", soak.outage),
            ("freeze", soak.freeze),
            ("long_outage", soak.outage),
        ):
            if seconds[name]:
                phase(seconds[name])
    whole = bool(seconds["long_outage"])
    report.write_text(_report(soak, load_before, time.monotonic() - began_s, whole=whole), encoding="utf-8")
    raise SystemExit(0 if all(one.met for one in soak.results) else 1)


def _started(stack: ExitStack) -> Soak:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
    server = Server(EmbeddedServer(folder, settings=SETTINGS), folder)
    server.start()
    stack.callback(server.stop_fast)
    fill(server)
    network = stack.enter_context(FaultyNetwork(server.socket))
    gunicorn = Gunicorn(network.through(server.url), folder)
    stack.callback(gunicorn.stop)
    gunicorn.wait()
    return Soak(server, network, gunicorn)


if __name__ == "__main__":
    main()
