"""Chemistry for the web process and the importers, done in child processes with time and memory caps.

A worker that ran RDKit itself would stall all its other requests, and one bad structure could take it down. This
module does not import RDKit, so that workers start fast and stay small.

A batch is cut into turns of a few structures. Between turns its child goes to whoever waits longest, so a
single request waits for one turn and never for a batch; a batch whose structure costs a child loses its turn, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import structlog

from app.domain.molecules import Notation, Structure
from app.errors import InvalidError, StructureError, UnavailableError
from app.science.notations import checked_text
from app.services import chemistry_wire as wire
from app.services.chemistry_process import Answer, Arguments, ChemistryProcess, ChildLostError
from app.services.turns import Turns

MIN_SIDE_PX: Final = 20
MAX_SIDE_PX: Final = 4000
SHORT_TURN: Final = 8
# Where nobody but the batch waits for a child, it changes hands less often: that takes 0.03 ms off each structure.
LONG_TURN: Final = 20
_LONGEST_WAIT_S: Final = 30.0
# A batch of nothing but structures that cost a child each would keep the pool restarting for a day.
LOSSES_PER_BATCH: Final = 20
# The first death may be somebody else's doing (the system was short of memory); the second is the structure's.
_DEATHS_TO_BLAME: Final = 2
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Losses:
    """How many children one call may still cost."""

    left: int = LOSSES_PER_BATCH


class ChemistryPool:
    """Child processes that are started when first needed; make it after fork, one for each process.

    With a niceness they leave the processor to everybody else first.
    """

    def __init__(self, processes: int, time_limit_s: float, memory_limit_mib: int, *, niceness: int = 0) -> None:
        self._processes = [ChemistryProcess(time_limit_s, memory_limit_mib, niceness) for _ in range(processes)]
        self._turns = Turns(self._processes)
        self._closed = False
        self._too_slow = f"The structure takes longer than {time_limit_s:g} s to read."
        self._too_big = f"Reading the structure takes more than {memory_limit_mib} MiB of memory, or fails altogether."

    def standardize(self, notation: Notation, text: str) -> Structure:
        """Return the structure that the text describes, standardized.

        Raises:
            StructureError: The text is refused, or reading it breaks a limit.
            UnavailableError: All processes are busy, or none can be started.
        """
        return Structure(**self._value("standardize", notation, checked_text(notation, text)))

    def standardize_many(
        self,
        items: Iterable[tuple[Notation, str]],
        *,
        most_losses: int = LOSSES_PER_BATCH,
        items_per_turn: int = SHORT_TURN,
    ) -> Iterator[Structure | StructureError]:
        """Yield a structure, or why there is none, for each item in their order.

        Items are taken a few turns ahead of the results that are read, so a batch of any length needs little memory.
        When it has cost `most_losses` children, the rest is refused. A batch that nobody waits for takes a `LONG_TURN`.

        Raises:
            UnavailableError: All processes are busy, or none can be started.
        """
        losses, remaining = _Losses(most_losses), iter(items)
        under_way: deque[Future[list[Structure | StructureError]]] = deque()
        executor = ThreadPoolExecutor(len(self._processes), thread_name_prefix="chemistry")
        try:
            while turn := list(islice(remaining, items_per_turn)):
                under_way.append(executor.submit(self._standardize_turn, turn, losses))
                if len(under_way) > len(self._processes):
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            executor.shutdown(cancel_futures=True)

    def render_svg(self, smiles: str, width_px: int, height_px: int) -> str:
        """Return the drawing of a structure as an SVG element.

        Raises:
            InvalidError: A side is too short or too long.
            StructureError: The SMILES is refused, or drawing it breaks a limit.
            UnavailableError: All processes are busy, or none can be started.
        """
        for side, length_px in (("width", width_px), ("height", height_px)):
            if not MIN_SIDE_PX <= length_px <= MAX_SIDE_PX:
                raise InvalidError.at(side, f"A picture's {side} is {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels.")
        return str(self._value("render_svg", checked_text("smiles", smiles), width_px, height_px))

    def molblocks(self, molecules: Sequence[tuple[str, str]]) -> list[str]:
        """Return a molfile for each (SMILES, name); one without atoms where a structure cannot be laid out.

        An export of a whole table must not end at the one structure that breaks a limit.

        Raises:
            UnavailableError: All processes are busy, or none can be started.
        """
        losses, blocks = _Losses(), list[str]()
        for start in range(0, len(molecules), SHORT_TURN):
            turn = molecules[start : start + SHORT_TURN]
            for (kind, value), (_, name) in zip(self._answers("molblock", turn, losses), turn, strict=True):
                blocks.append(value if kind == wire.VALUE else self._value("empty_molblock", name))
        return blocks

    def close(self) -> None:
        """End all children; what waits for them is told that the service stops."""
        self._closed = True
        for process in self._processes:
            process.kill()

    def _standardize_turn(
        self, turn: Sequence[tuple[Notation, str]], losses: _Losses
    ) -> list[Structure | StructureError]:
        texts = [_checked(notation, text) for notation, text in turn]
        sent = [(notation, text) for (notation, _), text in zip(turn, texts, strict=True) if isinstance(text, str)]
        answers = iter(self._answers("standardize", sent, losses))
        return [_structure(next(answers)) if isinstance(text, str) else text for text in texts]

    def _value(self, operation: str, *arguments: object) -> Any:  # noqa: ANN401 - what the operation returns
        ((kind, value),) = self._answers(operation, [arguments], _Losses())
        if kind == wire.REFUSED:
            raise StructureError(value)
        return value

    def _answers(self, operation: str, items: Sequence[Arguments], losses: _Losses) -> list[Answer]:
        """Return one answer for each item, whatever happens to the children on the way."""
        answers: list[Answer] = []
        deaths = 0
        while len(answers) < len(items):
            if losses.left <= 0:
                answers.append((wire.REFUSED, "Not read: too many structures of this batch broke a limit."))
                continue
            answered = len(answers)
            lost = self._take_turn(operation, items, answers)
            if lost is None:
                break
            losses.left -= 1
            deaths = 1 if len(answers) > answered else deaths + 1
            if lost.overran or deaths == _DEATHS_TO_BLAME:
                answers.append((wire.REFUSED, self._too_slow if lost.overran else self._too_big))
                deaths = 0
        return answers

    def _take_turn(self, operation: str, items: Sequence[Arguments], answers: list[Answer]) -> ChildLostError | None:
        """Add the answers that one child gives in one turn; return its loss if it does not come to the end."""
        with self._turns.turn(_LONGEST_WAIT_S) as process:
            self._check_open()
            try:
                for answer in process.ask(operation, items[len(answers) :]):
                    answers.append(answer)  # noqa: PERF402 - what came before a loss is kept
            except ChildLostError as lost:
                self._check_open()
                _log.warning("chemistry_child_lost", operation=operation, reason=str(lost))
                return lost
            finally:
                if self._closed:
                    process.kill()
        return None

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("The service stops.")


def _checked(notation: Notation, text: str) -> str | StructureError:
    try:
        return checked_text(notation, text)
    except StructureError as error:
        return error


def _structure(answer: Answer) -> Structure | StructureError:
    kind, value = answer
    return StructureError(value) if kind == wire.REFUSED else Structure(**value)
