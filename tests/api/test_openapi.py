"""The OpenAPI document against the running service: Schemathesis tries what it allows and what it forbids."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

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
FREEZING = {"properties": ["freezing_point"], "models": ["osmotic_virial@2"]}
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


@pytest.fixture
def keys(service: Api, alice: Api, bob: Api, make_project: Callable[..., UUID], models: None) -> dict[str, str]:
    """Give what parameters of addresses stand for: public records, and a project that bob only views."""
    molecule, mixture = (service.post(*body).get_json()["id"] for body in MIXED)
    experiment = {"mixture_id": mixture, "outcome": "pass", "results": [RESULT]}
    project = str(make_project(owner=alice, viewer=bob))
    return {
        "molecule_id": molecule,
        "mixture_id": mixture,
        "experiment_id": service.post("/experiments", experiment).get_json()["id"],
        "prediction_id": service.post(f"/mixtures/{mixture}/predictions", FREEZING).get_json()["data"][0]["id"],
        "project_id": project,
        "team_id": alice.get(f"/projects/{project}").get_json()["team_id"],
        "user_id": str(alice.user_id),
        "property_type": "density",
        "name": "osmotic_virial",
    }


@pytest.fixture(params=["anon", "bob", "alice", "service", "a service token for something else"])
def reader(request: pytest.FixtureRequest, scoped: Callable[[str], Api], keys: dict[str, str]) -> Api:
    """Give callers of every kind."""
    name: str = request.param
    caller: Api = request.getfixturevalue(name) if " " not in name else scoped("imports:write")
    return caller


def reads(document: dict[str, Any], keys: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the answers that the document gives to each read, by an address that is there."""
    return {
        _address(path, item["get"]["parameters"], keys): item["get"]["responses"]
        for path, item in document["paths"].items()
        if "get" in item
    }


def _address(path: str, parameters: list[dict[str, Any]], keys: dict[str, str]) -> str:
    needed = [item for item in parameters if item["in"] == "query" and item.get("required")]
    query = {item["name"]: item["schema"].get("enum", ["CCO"])[0] for item in needed}
    filled = re.sub(r"{(\w+)}", lambda name: keys.get(name[1]) or str(uuid4()), path)
    return f"/{filled}?{urlencode(query)}"


def test_whoever_reads_gets_an_answer_that_the_document_has(reader: Api, keys: dict[str, str]):
    tagged = set()
    for path, answers in reads(reader.get("//openapi.json").get_json(), keys).items():
        response = reader.get(path)

        assert str(response.status_code) in answers, f"{path} {response.text}"
        if response.status_code == 200:
            has_etag = "ETag" in response.headers
            assert has_etag == ("304" in answers) == ("headers" in answers["200"]), path
            tagged |= {path} if has_etag else set()
    assert f"//api/v1/mixtures/{keys['mixture_id']}/composition?unit=mol%2FL" in tagged


def test_the_refusals_of_reads_are_found(anon: Api, bob: Api, keys: dict[str, str]):
    document = anon.get("//openapi.json").get_json()["paths"]

    for path, refused in (
        (f"/molecules/{keys['molecule_id']}/history", "/api/v1/molecules/{molecule_id}/history"),
        ("/tokens", "/api/v1/tokens"),
    ):
        assert bob.get(path).status_code == 403
        assert "403" in document[refused]["get"]["responses"]
    assert "403" not in document["/api/v1/molecules"]["get"]["responses"]
