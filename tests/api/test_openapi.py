"""The OpenAPI document against the running service: Schemathesis tries what it allows and what it forbids."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.api import Api

FOLDER = Path(__file__).parent
# A mixture to find, and a molecule to make others of, which is not deleted while it is in one; an experiment on it.
MIXED = (
    (
        "/molecules",
        {
            "name": "Methanol",
            "smiles": "CO",
            "properties": [{"property_type": "density", "value": 787.2, "unit": "kg/m3"}],
        },
    ),
    ("/mixtures", {"name": "spirit", "components": [{"molecule": "Methanol", "amount": 1, "unit": "g/L"}]}),
)
RESULT = {"property_type": "freezing_point", "value": -2.1, "unit": "degC"}
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "10")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("models")
def test_schemathesis_finds_nothing(gunicorn: str, service: Api) -> None:
    made = [service.post(*body) for body in MIXED]
    assert [response.status_code for response in made] == [201, 201]
    experiment = {"mixture_id": made[1].get_json()["id"], "outcome": "pass", "results": [RESULT]}
    assert service.post("/experiments", experiment).status_code == 201
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", "schemathesis.toml", "run"]
    command += [f"{gunicorn}/openapi.json", "--header", f"Authorization: Bearer {service.token}"]
    command += ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES]
    command += ["--generation-deterministic", "--continue-on-failure", "--no-color"]

    run = subprocess.run(
        command,
        cwd=FOLDER,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-8000:]
    tested = re.search(r"Tested: (\d+)", run.stdout)
    assert tested is not None
    assert int(tested[1]) >= 22


def test_schemathesis_finds_a_document_that_lies(gunicorn: str, service: Api, tmp_path: Path) -> None:
    document = service.get("//openapi.json").get_json()
    document["servers"] = [{"url": gunicorn}]
    answer = document["paths"]["/api/v1/version"]["get"]["responses"]["200"]
    answer["content"]["application/json"]["schema"] = {"type": "object", "required": ["no_such_field"]}
    lying = tmp_path / "lying.json"
    lying.write_text(service.client.application.json.dumps(document), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(lying), "--url", gunicorn]
    command += ["--include-path", "/api/v1/version", "--max-examples", "1", "--no-color"]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode == 1
    assert "no_such_field" in run.stdout
