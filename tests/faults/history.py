"""What clients saw while something was broken, and the one checker of what must hold of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

RECOVERY_S: Final = 2.0
Activity = Literal["read", "write", "stream"]
OK: Final = frozenset({200, 201})
UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True)
class Event:
    """One request as its client saw it; `status` is 0 where a stream broke off."""

    activity: Activity
    status: int
    started_s: float
    ended_s: float
    code: str = ""
    is_problem: bool = False
    retry_after: str | None = None
    name: str = ""
    """What a write was to store."""
    key: str | None = None
    """Its Idempotency-Key: a client repeats what has one."""
    fault: str = ""
    """What was wrong with an answer that said that all is well."""
    user: str = ""
    """Who asked; nobody where there was no token."""
    seen: frozenset[str] = frozenset()
    """Names of private rows in the answer."""
    client: str = ""
    """Which of the clients, each of which asks one thing after the other."""
    pool_s: float = 0.0
    """What the answer says that was waited for a connection."""


@dataclass
class History:
    """All requests of all clients."""

    events: list[Event] = field(default_factory=list)
    owners: Mapping[str, str] = field(default_factory=dict)
    """Whose the private rows are that were there before, by name."""

    def is_steady(self, since_s: float, for_s: float) -> bool:
        """Return whether of what was asked since then each activity has succeeded, and all of it for so long."""
        events = [event for event in list(self.events) if event.started_s >= since_s]
        failed_s = max((event.ended_s for event in events if event.status not in OK), default=since_s)
        worked_s = {event.activity: event.ended_s for event in events if event.started_s > failed_s}
        activities = {event.activity for event in list(self.events)}
        return worked_s.keys() == activities and max(worked_s.values(), default=0.0) - failed_s >= for_s

    def slowest_s(self, until_s: float) -> float:
        """Return how long the slowest answer took of those that came before that moment."""
        return max((e.ended_s - e.started_s for e in list(self.events) if e.ended_s <= until_s), default=0.0)

    def counts(self) -> Counter[tuple[str, int]]:
        """Return how often each activity ended with each status."""
        return Counter((event.activity, event.status) for event in self.events)

    def violations(
        self,
        stored: Mapping[str, int],
        *,
        healed_s: float,
        within_s: float | None = None,
        recovery_s: float = RECOVERY_S,
        slack_s: float = 0.0,
    ) -> list[str]:
        """Return what must not have happened, in sentences; `stored` counts the names in the database.

        Clients must have gone on after `healed_s`, when all was well again, until `is_steady` or for longer than
        `recovery_s`. No answer took longer than `within_s`.
        """
        return [
            *self._bad_answers(),
            *self._bad_writes(stored),
            *self._rows_of_others(),
            *self._slow_recoveries(healed_s, recovery_s, slack_s),
            *(
                f"a {event.activity} took {event.ended_s - event.started_s:.1f} s"
                for event in self.events
                if within_s is not None and event.ended_s - event.started_s > within_s + slack_s
            ),
        ]

    def _bad_answers(self) -> list[str]:
        found = []
        for event in self.events:
            if event.fault:
                found.append(f"a {event.activity} was answered wrongly: {event.fault}")
            if event.status not in OK | {UNAVAILABLE, 0} and not self._is_shadowed(event):
                found.append(f"a {event.activity} was answered {event.status} {event.code}")
            if event.status == 0 and (event.activity != "stream" or event.code):
                found.append(f"a {event.activity} was not answered: {event.code}")
            if event.status == UNAVAILABLE and not event.is_problem:
                found.append(f"a {event.activity}'s 503 was no problem+json")
            if event.status == UNAVAILABLE and not (event.retry_after or "").isdigit():
                found.append(f"a {event.activity}'s 503 had Retry-After {event.retry_after}")
        return found

    def _is_shadowed(self, event: Event) -> bool:
        """Return whether a key is held by its own first attempt, which the server has yet to give up."""
        return (event.status, event.code) == (409, "request_in_progress") and any(
            other.key == event.key and other.status == UNAVAILABLE and other.ended_s <= event.started_s
            for other in self.events
            if event.key
        )

    def _bad_writes(self, stored: Mapping[str, int]) -> list[str]:
        found = [f"{name} was stored {count} times" for name, count in stored.items() if count != 1]
        writes = [event for event in self.events if event.activity == "write"]
        acknowledged = {event.name for event in writes if event.status in OK}
        unknown = {event.name for event in writes if event.code == "outcome_unknown"}
        found += [f"{name} was acknowledged and is lost" for name in acknowledged if name not in stored]
        refused = {event.name for event in writes} - acknowledged - unknown
        found += [f"{name} was refused, and is stored" for name in refused if name in stored]
        found += [f"{name} was stored, and nobody sent it" for name in stored if name not in {e.name for e in writes}]
        return found

    def _rows_of_others(self) -> list[str]:
        owners = {event.name: event.user for event in self.events if event.name} | dict(self.owners)
        return [
            f"{event.user or 'anon'} saw {name}, which is {owners.get(name) or 'nobody'}'s"
            for event in self.events
            for name in sorted(event.seen)
            if owners.get(name) != event.user
        ]

    def _slow_recoveries(self, healed_s: float, recovery_s: float, slack_s: float) -> list[str]:
        found = []
        due_s = healed_s + recovery_s + slack_s
        for activity in sorted({event.activity for event in self.events}):
            late = [
                event
                for event in self.events
                if event.activity == activity and event.status not in OK and event.started_s > due_s
            ]
            if late:
                found.append(f"{len(late)} {activity}s failed later than {recovery_s:.0f} s after all was well")
            if not any(e.status in OK and e.started_s >= healed_s for e in self.events if e.activity == activity):
                found.append(f"no {activity} succeeded after all was well")
        return found
