"""Settings out of files (`TENANTS_…_FILE`, `.env`), for every setting there is, and variables that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tenants_api.composition import open_services
from tenants_api.settings import Settings, SettingsError, load_settings, misspelt_variables
from tests.cli.conftest import Cli

SECRET = "a-secret-of-more-than-32-characters-0123456789"
PASSWORD = "hunter2-in-the-url"
# Of every setting: something that is not its default.
OTHER = {
    "environment": "development", "database_url": f"postgresql+psycopg://app:{PASSWORD}@db/tenants",
    "database_direct_url": f"postgresql+psycopg://app:{PASSWORD}@direct/tenants", "database_pool_size": "11",
    "database_statement_timeout": "31", "admin_api_key": SECRET, "platform_issuer": "https://id.example/realms/p",
    "platform_realm_url": "https://id.example/realms/q", "platform_client_id": "platform", "insecure_http_hosts": "a,b",
    "allowed_private_networks": "10.0.0.0/8", "allowed_realm_ports": "444", "realm_timeout": "6", "key_lifetime": "301",
    "key_stale_limit": "86401", "reconcile_interval": "901", "registry_poll": "0.6", "leeway": "31",
    "max_token_bytes": "16384",
    "max_token_lifetime": "86401", "verified_tokens": "20001", "login_rate": "11", "trusted_proxies": "10.0.0.0/8",
    "docs_enabled": "true", "cors_origins": "https://app.example", "cors_headers": "X-Own", "metrics_port": "9464",
    "log_format": "console", "log_level": "debug", "access_log": "true",
    "public_url": "https://api.example", "assertion_secret": SECRET,
    "assertion_issuer": "https://api.example", "assertion_audiences": "other", "assertion_key_lifetime": "86402",
    "roles": '{"lead": []}',
    "audit_retention_days": "1", "rejection_retention_days": "91",
}  # fmt: skip
BESIDE = {
    "platform_issuer": {"TENANTS_PLATFORM_CLIENT_ID": "platform"},
    "assertion_secret": {"TENANTS_PUBLIC_URL": "https://api.example"},
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a `.env` file nor a variable of the machine's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        for suffix in ("", "_FILE"):
            monkeypatch.delenv(f"TENANTS_{name.upper()}{suffix}", raising=False)


def plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_read_from_the_file_that_its_variable_names(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "value").write_text(OTHER[name] + "\n", "utf-8")
    for other, value in BESIDE.get(name, {}).items():
        monkeypatch.setenv(other, value)
    monkeypatch.setenv(f"TENANTS_{name.upper()}_FILE", str(tmp_path / "value"))
    from_file = plain(getattr(load_settings(), name))
    monkeypatch.delenv(f"TENANTS_{name.upper()}_FILE")
    assert from_file != plain(getattr(load_settings(), name))
    monkeypatch.setenv(f"TENANTS_{name.upper()}", OTHER[name])
    assert from_file == plain(getattr(load_settings(), name))


def test_variable_itself_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("40", "utf-8")
    monkeypatch.setenv("TENANTS_LEEWAY_FILE", str(tmp_path / "value"))
    monkeypatch.setenv("TENANTS_LEEWAY", "50")
    assert load_settings().leeway == 50


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["absent", "not text"])
def test_file_that_cannot_be_read_stops_the_start(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A secret that is missing must not mean that the API goes on without one."""
    if content is not None:
        (tmp_path / "value").write_bytes(content)
    monkeypatch.setenv("TENANTS_ADMIN_API_KEY_FILE", str(tmp_path / "value"))
    with pytest.raises(SettingsError, match="TENANTS_ADMIN_API_KEY_FILE"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("admin_api_key", "too-short-s3cret"), ("assertion_secret", "too-short-s3cret"),
     ("database_url", "mysql://app:too-short-s3cret@db"), ("database_direct_url", "mysql://app:too-short-s3cret@db")],
)  # fmt: skip
@pytest.mark.parametrize("by_file", [False, True])
def test_wrong_secret_is_named_and_not_shown(
    name: str, value: str, by_file: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "value").write_text(value, "utf-8")
    variable = f"TENANTS_{name.upper()}"
    monkeypatch.setenv(*((f"{variable}_FILE", str(tmp_path / "value")) if by_file else (variable, value)))
    with pytest.raises(SettingsError, match=variable) as wrong:
        load_settings()
    assert "s3cret" not in f"{wrong.value}{wrong.value.__cause__}"


def test_no_secret_is_in_the_text_of_the_settings() -> None:
    """Whoever logs them, or a traceback that prints local variables."""
    chosen = {
        name: OTHER[name] for name in ("database_url", "database_direct_url", "admin_api_key", "assertion_secret")
    }
    settings = load_settings(**chosen, public_url="https://api.example")
    for text in (repr(settings), str(settings)):
        assert PASSWORD not in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://*.example", "https://app.example/", "app.example", "https://u@app.example",
     "https://App.example", "ftp://app.example", "https://app.example:0443"],
)  # fmt: skip
def test_origin_that_is_not_exactly_one_is_refused(origin: str) -> None:
    """A wildcard would let every page of the world read answers; anything else than an origin never matches one."""
    with pytest.raises(SettingsError, match="TENANTS_CORS_ORIGINS"):
        load_settings(cors_origins=("https://ok.example", origin))


@pytest.mark.parametrize(
    "origin", ["https://app.example", "http://localhost:5173", "https://app.example:8443", "http://[::1]:3000"]
)
def test_exact_origin_is_accepted(origin: str) -> None:
    assert load_settings(cors_origins=(origin,)).cors_origins == (origin,)


def test_file_variable_in_dotenv_is_read(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("40\n", "utf-8")
    (tmp_path / ".env").write_text(f"TENANTS_LEEWAY_FILE={tmp_path / 'value'}\nTENANTS_LOGIN_RATE=11\n", "utf-8")
    assert (load_settings().leeway, load_settings().login_rate) == (40, 11)


@pytest.mark.parametrize(
    ("variable", "written", "wins"),
    [("TENANTS_LEEWAY", "{value}", "environment"), ("TENANTS_LEEWAY_FILE", "{path}", "environment"),
     ("TENANTS_OTHER", "", ".env")],
)  # fmt: skip
def test_environment_wins_over_dotenv_and_a_value_over_its_file(
    variable: str, written: str, wins: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "value").write_text("40", "utf-8")
    (tmp_path / "other").write_text("60", "utf-8")
    (tmp_path / ".env").write_text(f"TENANTS_LEEWAY=50\nTENANTS_LEEWAY_FILE={tmp_path / 'other'}\n", "utf-8")
    monkeypatch.setenv(variable, written.format(value="40", path=tmp_path / "value"))
    assert load_settings().leeway == {"environment": 40, ".env": 50}[wins]


def test_unreadable_file_named_in_dotenv_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TENANTS_ADMIN_API_KEY_FILE=/nonexistent/key\n", "utf-8")
    with pytest.raises(SettingsError, match="TENANTS_ADMIN_API_KEY_FILE"):
        load_settings()


def test_misspelt_variables_are_named_with_the_nearest_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TENANTS_LEWAY", "100")
    monkeypatch.setenv("TENANTS_LEEWAY", "50")
    (tmp_path / ".env").write_text("TENANTS_ADMIN_APIKEY_FILE=/run/key\nTENANTS_APP_PASSWORD=x\n", "utf-8")
    assert misspelt_variables() == {
        "TENANTS_ADMIN_APIKEY_FILE": "TENANTS_ADMIN_API_KEY_FILE",
        "TENANTS_LEWAY": "TENANTS_LEEWAY",
    }


def test_variables_of_a_kubernetes_service_are_not_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service named `tenants-metrics` sets all of these; the first one is the setting itself."""
    for name in ("PORT", "PORT_9464_TCP", "PORT_9464_TCP_ADDR", "PORT_9464_TCP_PORT", "PORT_9464_TCP_PROTO",
                 "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS"):  # fmt: skip
        monkeypatch.setenv(f"TENANTS_METRICS_{name}", "9464")
    assert misspelt_variables() == {}


def test_service_link_of_kubernetes_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_METRICS_PORT", "tcp://10.43.0.7:9464")
    with pytest.raises(SettingsError, match="enableServiceLinks: false") as refused:
        load_settings()
    assert "the Service tenants-metrics;" in str(refused.value)


def test_command_warns_of_a_misspelt_variable(unmigrated: Cli) -> None:
    said = Cli({**unmigrated.environment, "TENANTS_LEWAY": "100"})("db", "upgrade")
    assert said.code == 0
    assert "warning: TENANTS_LEWAY is not a setting and is ignored; did you mean TENANTS_LEEWAY?" in said.talk


@pytest.mark.anyio
async def test_process_that_serves_logs_a_misspelt_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_LEWAY", "100")
    settings = load_settings(database_url=cli.environment["TENANTS_DATABASE_URL"])
    with capture_logs() as logs:
        async with open_services(settings, background=False):
            pass
    assert [(log["variable"], log["nearest"]) for log in logs if log["event"] == "unknown_setting"] == [
        ("TENANTS_LEWAY", "TENANTS_LEEWAY")
    ]
