"""What is deployed is what `make serve` runs: the same command, settings, versions and locks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from database.cluster import INITIAL_SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
VARIABLES_READ = set(re.findall(r'(?:env, |env\.get\()"([A-Z_]+)"', (ROOT / "config.py").read_text()))
LOCKS = ("requirements.lock", "requirements-dev.lock")
LOADED_BY_A_WORKER = """
    import json, runpy, sys
    settings = runpy.run_path("deploy/gunicorn.conf.py")
    before = "psycopg" in sys.modules
    from gevent import monkey
    monkey.patch_all()
    import psycopg.waiting
    plain = {name: value for name, value in settings.items() if isinstance(value, (str, int, bool, type(None)))}
    print(json.dumps({"settings": plain, "psycopg_before": before, "waits_with": psycopg.waiting.wait.__name__}))
"""


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z0-9_.\[\]-]+==[^ ;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))


def last_words(instruction: str) -> str:
    return str(re.findall(rf"^{instruction} (.*)$", DOCKERFILE.partition("AS pooler")[0], re.MULTILINE)[-1])


def loaded_by_a_worker(**environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LOADED_BY_A_WORKER)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_the_container_runs_the_command_of_make_serve():
    command = json.loads(last_words("CMD"))

    assert command == [".venv/bin/cryoprotect", "serve"]
    assert "$(BIN)/cryoprotect serve" in MAKEFILE


def test_the_container_is_set_up_by_the_script_of_make_serve():
    assert "deploy/environment.py serve" in DOCKERFILE
    assert re.search(r"deploy/environment\.py\n.*\$\(PREPARE\) serve", MAKEFILE, re.DOTALL)


def test_the_container_runs_as_a_user_and_says_whether_it_is_well():
    assert last_words("USER").isdigit()
    assert int(last_words("USER")) > 0
    assert (ROOT / json.loads(re.search(r"HEALTHCHECK.*?CMD (\[.*?\])", DOCKERFILE, re.DOTALL)[1])[1]).is_file()  # type: ignore[index]


def test_all_that_the_image_copies_is_let_through_and_nothing_else():
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert admitted == {
        *("LICENSE", "README.md", "pyproject.toml", "requirements.lock", "config.py", "wsgi.py"),
        *("api", "app", "database", "migrations", "deploy"),
    }


def test_compose_makes_its_database_as_the_embedded_one_is_made():
    words = COMPOSE["services"]["database"]["environment"]["POSTGRES_INITDB_ARGS"].split()

    settings = {word.partition("=")[0]: word.partition("=")[2] for word in words if not word.startswith("--")}
    assert settings == {name: value for name, value in INITIAL_SETTINGS.items() if name != "log_line_prefix"}
    assert {"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums"} <= set(words)


def test_compose_sets_only_what_the_service_reads():
    assert set(COMPOSE["services"]["api"]["environment"]) <= VARIABLES_READ


def test_compose_has_no_secret_with_a_working_default():
    for name, default in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)(?::-([^}]*))?", COMPOSE_TEXT):
        assert default == "", f"{name} has a default"


def test_compose_publishes_the_service_on_this_machine_alone():
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]

    assert published == ["127.0.0.1:${PORT:-8000}:8000"]


def test_compose_waits_for_requests_in_flight_longer_than_gunicorn_does():
    patience_s = int(COMPOSE["services"]["api"]["stop_grace_period"].removesuffix("s"))

    assert patience_s > loaded_by_a_worker()["settings"]["graceful_timeout"]


def test_every_service_of_compose_is_watched_and_keeps_its_data():
    for name, service in COMPOSE["services"].items():
        assert "healthcheck" in service or service["build"]["target"] == "service", name
    assert set(COMPOSE["volumes"]) == {"database", "data"}


def test_the_pooler_in_compose_has_the_settings_that_are_tested():
    includes = re.findall(r"%include .*/(\S+)", (ROOT / "deploy/pgbouncer/pgbouncer.ini").read_text())

    assert includes == ["settings.ini"]
    assert "pool_mode = transaction" in (ROOT / "deploy/pgbouncer/settings.ini").read_text()


def test_the_example_settings_are_all_settings():
    named = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert named == {*VARIABLES_READ, "POSTGRES_PASSWORD"}


def test_the_example_settings_hold_no_secret():
    for line in (ROOT / ".env.example").read_text().splitlines():
        assert not re.match(r"#?\w*(?:SECRET|PASSWORD|KEY)=.", line), line


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_package_index(lock: str):
    text = (ROOT / lock).read_text()

    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash(lock: str):
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())

    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_developers_run_the_versions_that_the_service_runs():
    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_workers_wait_for_postgres_without_keeping_other_requests_waiting():
    loaded = loaded_by_a_worker()

    assert loaded["settings"]["worker_class"] == "gevent"
    assert loaded["settings"]["preload_app"] is False
    assert not loaded["psycopg_before"], "psycopg was loaded before gevent could patch what it waits with"
    assert loaded["waits_with"] != "wait_c"


def test_gunicorn_takes_nobody_s_word_and_opens_no_second_way_in():
    settings = loaded_by_a_worker(TRUSTED_PROXIES="1")["settings"]

    assert settings["forwarded_allow_ips"] == ""
    assert settings["forwarder_headers"] == ""
    assert settings["control_socket_disable"] is True
    assert settings["accesslog"] is None


@pytest.mark.parametrize(
    ("environment", "name", "value"),
    [
        ({"WEB_CONCURRENCY": "3"}, "workers", 3),
        ({"HOST": "0.0.0.0", "PORT": "81"}, "bind", "0.0.0.0:81"),  # noqa: S104 - read, not bound
        ({"HOST": "::1"}, "bind", "[::1]:8000"),
        ({}, "keepalive", 5),
        ({"TRUSTED_PROXIES": "1"}, "keepalive", 75),
    ],
)
def test_gunicorn_follows_the_service_s_settings(environment: dict[str, str], name: str, value: object):
    assert loaded_by_a_worker(**environment)["settings"][name] == value


def test_make_help_lists_every_command():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)

    named = re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE)
    assert {"serve", "test", "check", "bench", "lock"} <= set(named)


def test_ci_runs_the_checkers_and_the_tests_by_the_commands_that_people_use():
    script = (ROOT / ".ci" / "run").read_text()

    assert script.rstrip().endswith("make check\nmake test")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
