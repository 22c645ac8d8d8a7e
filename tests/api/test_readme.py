"""The README's examples, run as printed: what stands below each command is what it answers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from flask import Flask

from app.services.seed_molecules import seed
from database.session import Database
from tests.plugins.database import SECRET

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)\n```", README, flags=re.DOTALL)
# Ids, request ids, moments and cursors differ each time.
CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=\"request_id\":\")[^\"]+"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z|(?<=\"next\":\")[^\"]+"
)


@pytest.fixture
def seeded(app: Flask, database: Database) -> None:
    """Put in the data of a first start."""
    seed(database, app.extensions["cryoprotect"].chemistry)


def _examples() -> list[tuple[str, str]]:
    steps = [step for block in BLOCKS for step in re.split(r"^\$ ", block, flags=re.MULTILINE) if step]
    return [(command, output.strip("\n")) for command, _, output in (step.partition("\n") for step in steps)]


def test_the_readme_has_examples_with_their_output() -> None:
    assert sum(bool(output) for _, output in _examples()) >= 8


def test_the_readmes_examples_answer_as_printed(gunicorn: str, seeded: None) -> None:
    environment = {**os.environ, "SUPABASE_JWT_SECRET": SECRET}
    for command, expected in _examples():
        line = command.replace("http://127.0.0.1:8000", gunicorn)
        if assignment := re.fullmatch(r"(\w+)=\$\((.*)\)", line):
            line = assignment[2]
        run = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        if assignment:
            environment[assignment[1]] = run.stdout.strip()
        else:
            assert CHANGING.sub("~", run.stdout.strip("\n")) == CHANGING.sub("~", expected), command
