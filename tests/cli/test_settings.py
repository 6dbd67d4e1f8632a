"""Settings out of files: `TENANTS_…_FILE`, as mounted secrets are given, for every setting there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tenants_api.settings import Settings, SettingsError, load_settings

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
    "docs_enabled": "true", "cors_origins": "https://app.example", "metrics_port": "9464", "log_format": "console",
    "log_level": "debug", "public_url": "https://api.example", "assertion_secret": SECRET,
    "assertion_issuer": "https://api.example", "assertion_audiences": "other", "assertion_key_lifetime": "86402",
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
