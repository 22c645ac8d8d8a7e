"""The chemistry pool: real children, real structures that run away with time and memory, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from rdkit import Chem

from app.domain.molecules import Notation, Structure
from app.errors import InvalidError, StructureError, UnavailableError
from app.services import chemistry
from app.services.chemistry import ChemistryPool
from app.services.chemistry_process import ChemistryProcess
from app.services.turns import Turns

PROJECT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 30.0
# 482 stereo centres in one ring keep the InChI library busy for half a minute and more.
SLOW_SMILES: Final = "[C@@H]1(O)" + "[C@H](O)[C@@H](O)" * 240 + "[C@H]1O"
SLOW: Final[tuple[Notation, str]] = ("smiles", SLOW_SMILES)
GLYCEROL: Final[tuple[Notation, str]] = ("smiles", "OCC(O)CO")


def bound_to_every_other(side: int) -> str:
    """Return the SMILES of tungsten's complete bipartite graph, whose rings are too many for any memory."""
    left = ["".join(f"%({100 + i * side + j})" for j in range(side)) for i in range(side)]
    right = ["".join(f"%({100 + i * side + j})" for i in range(side)) for j in range(side)]
    return ".".join(f"[W]{bonds}" for bonds in left + right)


@pytest.fixture(scope="module")
def pool() -> Iterator[ChemistryPool]:
    pool = ChemistryPool(processes=2, time_limit_s=20.0, memory_limit_mib=256)
    yield pool
    pool.close()


@pytest.fixture
def make_pool() -> Iterator[Callable[..., ChemistryPool]]:
    made: list[ChemistryPool] = []

    def make(processes: int = 1, time_limit_s: float = 20.0, memory_limit_mib: int = 256) -> ChemistryPool:
        made.append(ChemistryPool(processes, time_limit_s, memory_limit_mib))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def child_pids(pool: ChemistryPool) -> list[int]:
    return [child._process.pid for child in pool._processes if child._process]


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_until(is_so: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    deadline_s = time.monotonic() + patience_s
    while not is_so() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return is_so()


def output_of(script: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# What comes back.


def test_a_structure_comes_back_whole(pool: ChemistryPool):
    dmso = pool.standardize("smiles", "C[S+](C)[O-]")

    assert dmso.canonical_smiles == "CS(C)=O"
    assert dmso.inchikey == "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"
    assert dmso.descriptors["heavy_atom_count"] == 4
    assert len(dmso.fingerprint) == 2048


@pytest.mark.parametrize("text", ["", "CCO ethanol", "C(C)(C)(C)(C)C", "\ud800", "C" * 20_000, "((((" * 25_000])
def test_a_refusal_carries_its_reason(pool: ChemistryPool, text: str):
    with pytest.raises(StructureError, match=r"SMILES"):
        pool.standardize("smiles", text)


def test_a_batch_gives_one_result_for_each_item_in_its_place(pool: ChemistryPool):
    items: list[tuple[Notation, str]] = [("smiles", "C" * length) for length in range(1, 200)]
    items[7], items[150] = ("smiles", "C1CC"), ("molfile", "no molfile")

    results = list(pool.standardize_many(iter(items)))

    assert [isinstance(result, StructureError) for result in results] == [index in {7, 150} for index in range(199)]
    assert all(
        result.canonical_smiles == text
        for (_, text), result in zip(items, results, strict=True)
        if isinstance(result, Structure)
    )


def test_an_empty_batch_starts_no_child(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool()

    assert list(pool.standardize_many([])) == []
    assert pool.molblocks([]) == []
    assert child_pids(pool) == []


def test_children_are_as_nice_as_they_are_told():
    pool = ChemistryPool(1, 20.0, 256, niceness=7)
    try:
        pool.standardize(*GLYCEROL)
        (pid,) = child_pids(pool)
        assert os.getpriority(os.PRIO_PROCESS, pid) == 7
    finally:
        pool.close()


def test_a_batch_reads_only_a_few_turns_ahead_of_its_results(pool: ChemistryPool):
    taken: list[int] = []

    def items() -> Iterator[tuple[Notation, str]]:
        for index in range(1000):
            taken.append(index)
            yield GLYCEROL

    results = pool.standardize_many(items())
    next(results)
    results.close()  # type: ignore[attr-defined]

    assert len(taken) <= 4 * chemistry.SHORT_TURN


def test_pictures_and_molfiles_come_back(pool: ChemistryPool):
    svg = pool.render_svg("CS(C)=O", 200, 100)
    blocks = pool.molblocks([("CO", f"methanol {number}") for number in range(70)])

    assert svg.startswith("<svg")
    assert [block.splitlines()[0] for block in blocks] == [f"methanol {number}" for number in range(70)]


def test_a_structure_that_cannot_be_laid_out_does_not_end_an_export(pool: ChemistryPool):
    blocks = pool.molblocks([("CO", "methanol"), ("C*", "broken"), ("CCO", "ethanol")])

    assert [block.splitlines()[0] for block in blocks] == ["methanol", "broken", "ethanol"]
    assert [Chem.MolFromMolBlock(block).GetNumAtoms() for block in blocks] == [2, 0, 3]


@pytest.mark.parametrize(("width_px", "height_px", "side"), [(19, 100, "width"), (100, 4001, "height")])
def test_a_picture_of_no_sensible_size_is_refused(pool: ChemistryPool, width_px: int, height_px: int, side: str):
    with pytest.raises(InvalidError) as caught:
        pool.render_svg("CO", width_px, height_px)

    assert [fault.pointer for fault in caught.value.faults] == [side]


# Structures that run away.


def test_a_structure_that_takes_too_long_is_refused_and_its_batch_goes_on(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(time_limit_s=2.0)

    before, slow, after = pool.standardize_many([GLYCEROL, SLOW, GLYCEROL])

    assert isinstance(slow, StructureError)
    assert slow.detail == "The structure takes longer than 2 s to read."
    assert isinstance(before, Structure)
    assert before == after


def test_a_structure_that_swells_is_refused_and_its_batch_goes_on(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(memory_limit_mib=64)

    before, big, after = pool.standardize_many([GLYCEROL, ("smiles", bound_to_every_other(20)), GLYCEROL])

    assert isinstance(big, StructureError)
    assert "more than 64 MiB" in big.detail
    assert isinstance(before, Structure)
    assert before == after


def test_a_single_request_can_follow_one_that_cost_the_child(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(time_limit_s=2.0)

    with pytest.raises(StructureError, match="longer than 2 s"):
        pool.standardize(*SLOW)

    assert pool.standardize(*GLYCEROL).formula == "C3H8O3"


def test_a_batch_may_cost_only_so_many_children(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(time_limit_s=1.0)

    results = pool._standardize_turn([SLOW, SLOW, GLYCEROL], chemistry._Losses(1))

    assert [str(result)[:20] for result in results] == [
        "The structure takes ",
        "Not read: too many s",
        "Not read: too many s",
    ]


def test_a_child_that_is_killed_at_work_costs_no_structure(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool()
    pool.standardize(*GLYCEROL)
    (first_pid,) = child_pids(pool)
    # Stopped, it cannot have answered before it is killed.
    os.kill(first_pid, signal.SIGSTOP)
    results: list[Structure] = []
    worker = threading.Thread(target=lambda: results.append(pool.standardize(*GLYCEROL)))

    worker.start()
    os.kill(first_pid, signal.SIGKILL)
    worker.join(PATIENCE_S)

    assert [structure.formula for structure in results] == ["C3H8O3"]
    assert child_pids(pool) != [first_pid]


def test_a_batch_loses_nothing_to_children_that_are_killed(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(processes=2)
    results = pool.standardize_many([GLYCEROL] * 300)

    found = [next(results)]
    for pid in child_pids(pool):
        os.kill(pid, signal.SIGKILL)
    found += results

    assert len(found) == 300
    assert all(isinstance(result, Structure) for result in found)


def test_a_structure_over_which_two_children_die_is_to_blame(
    make_pool: Callable[..., ChemistryPool], monkeypatch: pytest.MonkeyPatch
):
    pool = make_pool(time_limit_s=60.0)
    asked: list[str] = []
    ask = ChemistryProcess.ask

    def ask_and_kill(child: ChemistryProcess, operation: str, items: list[object]) -> object:
        asked.append(operation)
        child._started()
        os.kill(child._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        return ask(child, operation, items)  # type: ignore[arg-type]

    monkeypatch.setattr(ChemistryProcess, "ask", ask_and_kill)
    with pytest.raises(StructureError, match="or fails altogether"):
        pool.standardize(*GLYCEROL)

    assert len(asked) == 2


# Living together.


def test_a_single_request_does_not_wait_for_a_batch(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(processes=1)
    found: list[object] = []
    batch = threading.Thread(target=lambda: found.extend(pool.standardize_many([GLYCEROL] * 5000)))
    batch.start()
    assert wait_until(lambda: len(found) > 0)

    pool.standardize("smiles", "CO")
    found_meanwhile = len(found)
    batch.join(PATIENCE_S * 2)

    assert found_meanwhile < 2500
    assert len(found) == 5000


def test_turns_go_to_whoever_waits_longest():
    turns = Turns(["the only thing"])
    served: list[str] = []
    first = turns.turn(PATIENCE_S)
    first.__enter__()

    def take(name: str) -> None:
        with turns.turn(PATIENCE_S):
            served.append(name)

    threads = []
    for name in ("second", "third", "fourth"):
        threads.append(threading.Thread(target=take, args=[name]))
        threads[-1].start()
        assert wait_until(lambda: len(turns._waiting) == len(threads))
    first.__exit__(None, None, None)
    take("first again")
    for thread in threads:
        thread.join(PATIENCE_S)

    assert served == ["second", "third", "fourth", "first again"]


def test_who_waits_too_long_is_told_to_come_back_and_takes_nothing():
    turns = Turns(["the only thing"])

    with turns.turn(1.0), pytest.raises(UnavailableError), turns.turn(0.01):
        pass

    with turns.turn(0.01) as thing:
        assert thing == "the only thing"


def test_a_closed_pool_ends_its_children_and_refuses(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool()
    pool.standardize(*GLYCEROL)
    pids = child_pids(pool)

    pool.close()

    assert wait_until(lambda: not any(map(is_running, pids)))
    with pytest.raises(UnavailableError):
        pool.standardize(*GLYCEROL)


def test_closing_does_not_blame_the_structure_in_work(make_pool: Callable[..., ChemistryPool]):
    pool = make_pool(time_limit_s=60.0)
    pool.standardize(*GLYCEROL)
    refusals: list[Exception] = []

    def work() -> None:
        try:
            pool.standardize(*SLOW)
        except (StructureError, UnavailableError) as error:
            refusals.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert wait_until(lambda: not pool._turns._free)
    pool.close()
    worker.join(PATIENCE_S)

    assert [type(refusal) for refusal in refusals] == [UnavailableError]


def test_a_child_that_cannot_start_is_no_fault_of_the_structure(
    make_pool: Callable[..., ChemistryPool], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.services.chemistry_process._CHILD_MODULE", "app.no_such_module")

    with pytest.raises(UnavailableError):
        make_pool().standardize(*GLYCEROL)


def test_a_child_that_is_killed_while_it_starts_is_started_again(
    make_pool: Callable[..., ChemistryPool], monkeypatch: pytest.MonkeyPatch
):
    started: list[int] = []
    popen = subprocess.Popen

    def start_and_kill_the_first(*arguments: object, **options: object) -> object:
        process = popen(*arguments, **options)  # type: ignore[call-overload]
        started.append(process.pid)
        if len(started) == 1:
            process.kill()
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_kill_the_first)

    assert make_pool().standardize(*GLYCEROL).formula == "C3H8O3"
    assert len(started) == 2


def test_a_child_knows_no_secret(make_pool: Callable[..., ChemistryPool], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SUPABASE_JWT_SECRET", "a secret of at least thirty-two bytes")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@host/db")
    pool = make_pool()
    pool.standardize(*GLYCEROL)

    (pid,) = child_pids(pool)
    environment = Path(f"/proc/{pid}/environ").read_bytes()

    assert b"secret" not in environment
    assert b"password" not in environment


def test_the_parent_does_not_import_rdkit():
    output = output_of("import sys, app.services.chemistry; print([m for m in sys.modules if 'rdkit' in m])")

    assert output.strip() == "[]"


# Life and death of the parent.

PARENT: Final = """
import sys, threading, time
from app.services.chemistry import ChemistryPool
pool = ChemistryPool(1, 600.0, 256)
pool.standardize("smiles", "CO")
threading.Thread(target=lambda: [pool.standardize("smiles", text) for text in sys.argv[1:]], daemon=True).start()
while pool._turns._free and sys.argv[1:]:
    time.sleep(0.01)
print(pool._processes[0]._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("work", [[], [SLOW_SMILES]], ids=["idle", "busy"])
def test_no_child_outlives_a_parent_that_is_killed(work: list[str]):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *work], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()

    # Far less than the structure in work takes: the child is ended, it does not merely come to its end.
    assert wait_until(lambda: not is_running(pid), patience_s=10.0)


FORKING: Final = """
import os
from app.services.chemistry import ChemistryPool
pool = ChemistryPool(1, 20.0, 256)
pool.standardize("smiles", "CO")
before = pool._processes[0]._process.pid
worker = os.fork()
if worker == 0:
    formula = pool.standardize("smiles", "CCO").formula
    os._exit(0 if formula == "C2H6O" and pool._processes[0]._process.pid != before else 1)
_, status = os.waitpid(worker, 0)
same_child = pool.standardize("smiles", "CO").formula == "CH4O" and pool._processes[0]._process.pid == before
print(status, same_child)
pool.close()
"""


def test_a_forked_process_starts_children_of_its_own():
    assert output_of(FORKING).split() == ["0", "True"]


COOPERATIVE: Final = """
from gevent import monkey
monkey.patch_all()
import json, sys
import gevent
from app.services.chemistry import ChemistryPool
from app.errors import StructureError
pool = ChemistryPool(2, 2.0, 256)
ticks = 0

def tick():
    global ticks
    while True:
        gevent.sleep(0.01)
        ticks += 1

def slow():
    try:
        pool.standardize("smiles", sys.argv[1])
    except StructureError as error:
        return error.detail

ticking = gevent.spawn(tick)
slow_one = gevent.spawn(slow)
batch = gevent.spawn(lambda: list(pool.standardize_many([("smiles", "C" * n) for n in range(1, 301)])))
single = gevent.spawn(lambda: pool.standardize("smiles", "CO"))
gevent.joinall([slow_one, batch, single], raise_error=True)
left = gevent.spawn(lambda: pool.standardize("smiles", sys.argv[1]))
gevent.sleep(0.3)
left.kill()
after = [pool.standardize("smiles", "CO").formula for _ in range(4)]
print(json.dumps([slow_one.value, len(batch.value), batch.value[299].formula, single.value.formula, ticks, after]))
pool.close()
"""


def test_under_gevent_everybody_else_goes_on_while_a_child_works():
    output = output_of(COOPERATIVE, SLOW_SMILES)

    slow, batch_length, longest, single, ticks, after = json.loads(output.splitlines()[-1])

    assert slow == "The structure takes longer than 2 s to read."
    assert (batch_length, longest, single) == (300, "C300H602", "CH4O")
    # The slow one alone was waited for for two seconds; a worker that blocks would not tick at all.
    assert ticks > 20
    assert after == ["CH4O"] * 4
