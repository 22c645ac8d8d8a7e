"""Tests of the API and of the repositories once more, through PgBouncer in transaction mode."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Final

import pytest

from tests.machine.conftest import ROOT

pytestmark = [pytest.mark.machine, pytest.mark.timeout(400)]

SUITES: Final = (
    "tests/api/test_idempotency.py",
    "tests/api/test_mixtures.py",
    "tests/api/test_molecules.py",
    "tests/database/test_idempotency_repository.py",
    "tests/database/test_mixture_repository.py",
    "tests/database/test_molecule_repository.py",
    "tests/database/test_pooler.py",
    "tests/database/test_team_repository.py",
)
# Counted on the wire to the server itself, past the pooler.
NOT_HERE: Final = "not round_trip"
COUNTS: Final = re.compile(r"(\d+) passed(, \d+ deselected)?(, \d+ warnings?)? in ")


def test_the_suites_pass_through_the_pooler():
    if shutil.which("pgbouncer") is None:
        pytest.skip("PgBouncer is not installed; .ci/run installs it")
    # A server of its own: these tests empty their database.
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CRYOPROTECT_", "COV_"))
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--pooler", "-q", "-p", "no:cacheprovider", "-k", NOT_HERE, *SUITES],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )

    counts = COUNTS.search(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-5000:]
    assert counts is not None, done.stdout[-1000:]
    assert int(counts[1]) > 400
