"""Settings: each variable by itself, what it may be, and what is said when it is not."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from config import SECRET_FILE_NAME, Settings, SettingsError

PROJECT = Path(__file__).parents[2]
SECRET = "s" * 32
SUPABASE = "https://abc.supabase.co"


def key_of(role: str) -> str:
    """Return a project's older key, which is a token of a role."""
    return jwt.encode({"iss": "supabase", "role": role}, SECRET, algorithm="HS256")


def read(tmp_path: Path, env: Mapping[str, str] | None = None) -> Settings:
    return Settings.from_environment({"CRYOPROTECT_DATA_DIR": str(tmp_path), **(env or {})})


def test_with_nothing_set_everything_has_a_default_and_no_secret_does(tmp_path: Path):
    settings = read(tmp_path)

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.embedded
    assert settings.jwt_secret is None
    assert settings.jwks_url is None
    assert settings.supabase_key is None
    assert settings.cors_origins == ()
    assert settings.trusted_proxies == 0
    assert settings.rate_limits is True
    assert (settings.rate_limit_anon_per_min, settings.rate_limit_user_per_min) == (600, 6000)
    assert (settings.max_body_bytes, settings.max_import_bytes) == (10 * 1024**2, 200 * 1024**2)
    assert settings.transaction_pooler is False


def test_the_data_folder_is_in_the_current_one_where_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    assert Settings.from_environment({}).data_dir == tmp_path / ".cryoprotect"


def test_the_data_folder_is_absolute_however_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    assert Settings.from_environment({"CRYOPROTECT_DATA_DIR": "data"}).data_dir == tmp_path / "data"


def test_the_processs_own_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "8123")

    assert Settings.from_environment().port == 8123


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - read, not bound
        ("PORT", "0", "port", 0),
        ("PORT", "65535", "port", 65535),
        ("WEB_CONCURRENCY", "1", "workers", 1),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("LOG_LEVEL", "WARNING", "log_level", "WARNING"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/", "traces_url", "http://c:4318/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/x", "traces_url", "https://c/x"),
        ("DATABASE_URL", "postgresql://u@h/d", "database_url", "postgresql://u@h/d"),
        ("DATABASE_URL", "postgres://u@h/d", "database_url", "postgres://u@h/d"),
        ("DATABASE_DIRECT_URL", "postgresql://u@h/d", "database_direct_url", "postgresql://u@h/d"),
        ("REPLICA_MAX_LAG_S", "0.5", "replica_max_lag_s", 0.5),
        ("POOL_MIN", "0", "pool_min", 0),
        ("POOL_MAX", "50", "pool_max", 50),
        ("POOL_TIMEOUT_S", "0.5", "pool_timeout_s", 0.5),
        ("POOL_TIMEOUT_S", "3", "pool_timeout_s", 3.0),
        ("TRANSACTION_POOLER", "on", "transaction_pooler", True),
        ("TRANSACTION_POOLER", "TRUE", "transaction_pooler", True),
        ("TRANSACTION_POOLER", "1", "transaction_pooler", True),
        ("TRANSACTION_POOLER", "off", "transaction_pooler", False),
        ("RATE_LIMITS", "off", "rate_limits", False),
        ("RATE_LIMITS", "False", "rate_limits", False),
        ("RATE_LIMITS", "0", "rate_limits", False),
        ("RATE_LIMIT_ANON_PER_MIN", "1", "rate_limit_anon_per_min", 1),
        ("RATE_LIMIT_USER_PER_MIN", "10", "rate_limit_user_per_min", 10),
        ("RATELIMIT_STORAGE_URI", "redis://h:6379/0", "ratelimit_storage_uri", "redis://h:6379/0"),
        ("TRUSTED_PROXIES", "2", "trusted_proxies", 2),
        ("CORS_ORIGINS", "https://a.example", "cors_origins", ("https://a.example",)),
        (
            "CORS_ORIGINS",
            " https://a.example , http://localhost:3000,",
            "cors_origins",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("SUPABASE_JWT_SECRET", SECRET, "jwt_secret", SECRET),
        ("SUPABASE_KEY", "sb_publishable_x", "supabase_key", "sb_publishable_x"),
        ("SUPABASE_KEY", key_of("anon"), "supabase_key", key_of("anon")),
        ("SUPABASE_REST", "off", "supabase_rest", False),
        ("SUPABASE_URL", SUPABASE, "supabase_url", SUPABASE),
        ("SUPABASE_URL", SUPABASE, "jwks_url", f"{SUPABASE}/auth/v1/.well-known/jwks.json"),
        ("SUPABASE_URL", f"{SUPABASE}/", "jwks_url", f"{SUPABASE}/auth/v1/.well-known/jwks.json"),
        ("SUPABASE_URL", SUPABASE, "jwt_issuer", f"{SUPABASE}/auth/v1"),
        ("MAX_BODY_BYTES", "1024", "max_body_bytes", 1024),
        ("MAX_IMPORT_BYTES", "1000000000", "max_import_bytes", 10**9),
        ("CHEMISTRY_PROCESSES", "4", "chemistry_processes", 4),
        ("CHEMISTRY_TIME_LIMIT_S", "2.5", "chemistry_time_limit_s", 2.5),
        ("CHEMISTRY_MEMORY_LIMIT_MIB", "512", "chemistry_memory_limit_mib", 512),
    ],
)
def test_a_variable_sets_its_field(tmp_path: Path, name: str, text: str, field: str, value: Any):
    assert getattr(read(tmp_path, {name: text}), field) == value


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", ()),
        ("postgresql://u@a/d", ("postgresql://u@a/d",)),
        (" postgresql://u@a/d, postgres://b:6543/d,", ("postgresql://u@a/d", "postgres://b:6543/d")),
        ("postgresql://a,b/d,postgresql://c/d", ("postgresql://a,b/d", "postgresql://c/d")),
    ],
)
def test_standbys_are_urls_with_commas_between_them(tmp_path: Path, text: str, urls: tuple[str, ...]):
    env = {"DATABASE_URL": "postgresql://u@h/d", "DATABASE_REPLICA_URLS": text}

    assert read(tmp_path, env).database_replica_urls == urls


@pytest.mark.parametrize(
    "name",
    [
        "HOST",
        "PORT",
        "WEB_CONCURRENCY",
        "LOG_LEVEL",
        "DATABASE_URL",
        "POOL_MAX",
        "POOL_TIMEOUT_S",
        "TRANSACTION_POOLER",
        "RATE_LIMITS",
        "SUPABASE_URL",
        "SUPABASE_JWT_SECRET",
        "SUPABASE_KEY",
        "SUPABASE_REST",
        "CORS_ORIGINS",
        "RATELIMIT_STORAGE_URI",
    ],
)
def test_a_variable_that_is_empty_is_as_good_as_not_set(tmp_path: Path, name: str):
    assert read(tmp_path, {name: ""}) == read(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("PORT", "http", "PORT must be a number from 0 to 65535, not 'http'"),
        ("PORT", "65536", "PORT must be a number from 0 to 65535"),
        ("PORT", "-1", "PORT must be a number"),
        ("PORT", "80.5", "PORT must be a number"),
        ("WEB_CONCURRENCY", "0", "WEB_CONCURRENCY must be a number from 1 to 256"),
        ("WEB_CONCURRENCY", "257", "WEB_CONCURRENCY"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'LOUD'"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318", "OTEL_EXPORTER_OTLP_ENDPOINT must start with http:// or https://"),
        ("DATABASE_URL", "mysql://h/d", "DATABASE_URL must start with postgresql:// or postgres://"),
        ("DATABASE_URL", "host=h dbname=d", "DATABASE_URL must start with"),
        ("DATABASE_DIRECT_URL", "h:5432/d", "DATABASE_DIRECT_URL must start with"),
        ("DATABASE_REPLICA_URLS", "mysql://h/d", "DATABASE_REPLICA_URLS must start with postgresql:// or postgres://"),
        ("DATABASE_REPLICA_URLS", "postgres://a/d,http://b/d", "DATABASE_REPLICA_URLS must start with"),
        ("DATABASE_REPLICA_URLS", "postgres://h/d", "DATABASE_REPLICA_URLS needs DATABASE_URL"),
        ("REPLICA_MAX_LAG_S", "-1", "REPLICA_MAX_LAG_S must be a number from 0"),
        ("POOL_MIN", "-1", "POOL_MIN must be a number from 0 to 1000"),
        ("POOL_MAX", "0", "POOL_MAX must be a number from 1 to 1000"),
        ("POOL_TIMEOUT_S", "0", "POOL_TIMEOUT_S must be a number"),
        ("POOL_TIMEOUT_S", "nan", "POOL_TIMEOUT_S must be a number"),
        ("POOL_TIMEOUT_S", "inf", "POOL_TIMEOUT_S must be a number"),
        ("TRANSACTION_POOLER", "maybe", "TRANSACTION_POOLER must be on or off, not 'maybe'"),
        ("RATE_LIMITS", "yes", "RATE_LIMITS must be on or off, not 'yes'"),
        ("RATE_LIMIT_ANON_PER_MIN", "0", "RATE_LIMIT_ANON_PER_MIN must be a number from 1"),
        ("RATE_LIMIT_USER_PER_MIN", "many", "RATE_LIMIT_USER_PER_MIN must be a number from 1"),
        ("TRUSTED_PROXIES", "-1", "TRUSTED_PROXIES must be a number from 0 to 10"),
        ("TRUSTED_PROXIES", "11", "TRUSTED_PROXIES must be a number from 0 to 10"),
        ("CORS_ORIGINS", "*", r"CORS_ORIGINS takes origins such as https://lab.example, not '\*'"),
        ("CORS_ORIGINS", "lab.example", "CORS_ORIGINS takes origins"),
        ("CORS_ORIGINS", "https://lab.example/", "CORS_ORIGINS takes origins"),
        ("CORS_ORIGINS", "https://a.example https://b.example", "CORS_ORIGINS takes origins"),
        ("CORS_ORIGINS", "https://a.example,null", "CORS_ORIGINS takes origins"),
        ("SUPABASE_URL", "abc.supabase.co", "SUPABASE_URL must start with http:// or https://"),
        ("SUPABASE_URL", "file:///etc/passwd", "SUPABASE_URL must start with"),
        ("SUPABASE_JWT_SECRET", "s" * 31, "SUPABASE_JWT_SECRET must have at least 32 bytes"),
        ("SUPABASE_KEY", "sb_secret_x", "SUPABASE_KEY must be the project's public key"),
        ("SUPABASE_KEY", key_of("service_role"), "SUPABASE_KEY must be the project's public key"),
        ("SUPABASE_KEY", key_of("authenticated"), "SUPABASE_KEY must be the project's public key"),
        ("SUPABASE_REST", "maybe", "SUPABASE_REST must be on or off, not 'maybe'"),
        ("MAX_BODY_BYTES", "10MB", "MAX_BODY_BYTES must be a number from 1024"),
        ("MAX_BODY_BYTES", "1023", "MAX_BODY_BYTES must be a number from 1024"),
        ("MAX_IMPORT_BYTES", "0", "MAX_IMPORT_BYTES must be a number from 1024"),
        ("CHEMISTRY_PROCESSES", "0", "CHEMISTRY_PROCESSES must be a number from 1 to 64"),
        ("CHEMISTRY_TIME_LIMIT_S", "0", "CHEMISTRY_TIME_LIMIT_S must be a number from 0.1"),
        ("CHEMISTRY_MEMORY_LIMIT_MIB", "10", "CHEMISTRY_MEMORY_LIMIT_MIB must be a number from 256"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, text: str, says: str):
    with pytest.raises(SettingsError, match=says):
        read(tmp_path, {name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SUPABASE_JWT_SECRET", "hush-hush"),
        ("DATABASE_URL", "hush-hush"),
        ("DATABASE_DIRECT_URL", "hush-hush"),
        ("SUPABASE_URL", "hush-hush"),
        ("SUPABASE_KEY", "sb_secret_hush-hush"),
    ],
)
def test_no_refusal_repeats_what_may_hold_a_secret(tmp_path: Path, name: str, text: str):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {name: text})

    assert "hush-hush" not in str(caught.value)


def test_the_secret_that_serve_made_is_read_from_the_data_folder(tmp_path: Path):
    (tmp_path / SECRET_FILE_NAME).write_text(f"{SECRET}\n", encoding="ascii")

    settings = read(tmp_path)

    assert settings.jwt_secret == SECRET
    assert settings.secret_file == tmp_path / SECRET_FILE_NAME


def test_the_secret_of_the_environment_goes_before_the_one_in_the_folder(tmp_path: Path):
    (tmp_path / SECRET_FILE_NAME).write_text(SECRET, encoding="ascii")

    assert read(tmp_path, {"SUPABASE_JWT_SECRET": "e" * 40}).jwt_secret == "e" * 40


def test_a_secret_in_the_folder_that_is_too_short_is_refused(tmp_path: Path):
    (tmp_path / SECRET_FILE_NAME).write_text("short", encoding="ascii")

    with pytest.raises(SettingsError, match="at least 32 bytes"):
        read(tmp_path)


def test_a_secret_is_measured_in_bytes(tmp_path: Path):
    assert read(tmp_path, {"SUPABASE_JWT_SECRET": "é" * 16}).jwt_secret == "é" * 16


def test_secrets_do_not_show_when_settings_are_printed(tmp_path: Path):
    env = {"SUPABASE_JWT_SECRET": SECRET, "SUPABASE_KEY": "sb_publishable_x", "RATELIMIT_STORAGE_URI": "redis://:pw@h"}

    said = repr(read(tmp_path, env))

    assert SECRET not in said
    assert "sb_publishable_x" not in said
    assert ":pw@" not in said


@pytest.mark.parametrize(
    ("url", "pooler"),
    [
        ("postgresql://u:p@aws-0.pooler.supabase.com:6543/postgres", True),
        ("postgresql://u:p@aws-0.pooler.supabase.com:5432/postgres", False),
        ("postgresql://u:p@h/postgres", False),
    ],
)
def test_supabases_pooler_is_known_by_its_port(tmp_path: Path, url: str, pooler: bool):  # noqa: FBT001
    assert read(tmp_path, {"DATABASE_URL": url}).transaction_pooler is pooler


def test_what_is_said_of_the_pooler_goes_before_its_port(tmp_path: Path):
    env = {"DATABASE_URL": "postgresql://u@h:6543/d", "TRANSACTION_POOLER": "off"}

    assert read(tmp_path, env).transaction_pooler is False


def test_a_named_database_is_not_the_embedded_one(tmp_path: Path):
    settings = read(tmp_path, {"DATABASE_URL": "postgresql://u@h/d"})

    assert not settings.embedded
    assert settings.require_database_url() == "postgresql://u@h/d"


def test_without_a_database_the_refusal_says_what_to_do(tmp_path: Path):
    with pytest.raises(SettingsError, match="set DATABASE_URL, or start with `cryoprotect serve`"):
        read(tmp_path).require_database_url()


def test_without_any_key_the_refusal_says_what_to_set(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"SUPABASE_URL .* or SUPABASE_JWT_SECRET"):
        read(tmp_path).require_token_keys()


@pytest.mark.parametrize("env", [{"SUPABASE_JWT_SECRET": SECRET}, {"SUPABASE_URL": SUPABASE}])
def test_either_kind_of_key_is_enough(tmp_path: Path, env: dict[str, str]):
    read(tmp_path, env).require_token_keys()


def test_all_processes_of_an_installation_share_one_secret(tmp_path: Path):
    with_secret = read(tmp_path, {"SUPABASE_JWT_SECRET": SECRET, "DATABASE_URL": "postgresql://u:p@h/d"})
    without = read(tmp_path, {"SUPABASE_URL": SUPABASE, "DATABASE_URL": "postgresql://u:p@h/d"})

    assert with_secret.shared_secret == SECRET
    assert without.shared_secret == "postgresql://u:p@h/d"


def test_settings_cannot_be_changed_afterwards(tmp_path: Path):
    with pytest.raises(AttributeError):
        read(tmp_path).port = 1  # type: ignore[misc]


def test_every_variable_that_is_read_stands_in_the_example():
    source = (PROJECT / "config.py").read_text(encoding="utf-8")
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")

    names = set(re.findall(r'env(?:\.get\(|, )"([A-Z_]+)"', source))

    assert len(names) >= 20
    assert names <= set(re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE))


def test_traces_without_opentelemetry_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    assert Settings.from_environment({}).traces_url is None

    with pytest.raises(
        SettingsError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT is set, .* pip install 'cryoprotect\[otel\]'"
    ):
        Settings.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


def test_traces_can_be_switched_off_as_opentelemetry_says():
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}

    assert Settings.from_environment(given).traces_url is None
