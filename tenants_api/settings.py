"""Settings: `TENANTS_*` (each also as `TENANTS_*_FILE`) in the environment or in a `.env` file, read once.

The table in docs/settings.md is generated from this class. A wrong value stops the start with one line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "TENANTS_"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?", re.ASCII)
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://")  # Kubernetes' value of `<SERVICE>_PORT`
_NEAR = 0.8  # of difflib: one letter in five


class SettingsError(Exception):
    """A variable is wrong. The message is one line: the variable, its value (secrets masked), the expected value."""


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _roles(value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) and value.strip() else value or None
    except ValueError:
        found = value
    if found is not None and not isinstance(found, Mapping):
        raise ValueError(f"expected a JSON object such as {ROLES_EXAMPLE}, which lists what each role includes")
    return found


ROLES_EXAMPLE = '{"manager": ["clerk"], "clerk": []}'
Role = Annotated[str, Field(min_length=1, max_length=100)]
Roles = Annotated[Mapping[Role, tuple[Role, ...]] | None, NoDecode, BeforeValidator(_roles)]
Ports = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The settings of a deployment; times are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = Field(
        "production", description="`development` allows SQLite with several workers, debug logs and the API docs"
    )
    # Not in the repr, because the URL contains a password.
    database_url: str = Field("sqlite+aiosqlite:///tenants.db", repr=False, description="or `postgresql+psycopg://…`")
    database_direct_url: str | None = Field(
        None, repr=False, description="bypasses a pooler, for migrations and LISTEN; the database URL if empty"
    )
    database_pool_size: int = Field(10, ge=1, le=200, description="connections of one worker to PostgreSQL")
    database_statement_timeout: float = Field(
        30, ge=0.1, le=3600, description="seconds that PostgreSQL gives one statement of the API or the CLI"
    )
    admin_api_key: SecretStr | None = Field(
        None, description="bootstrap admin key with every scope, at least 32 characters"
    )
    platform_issuer: str | None = Field(None, description="issuer of the platform realm")
    platform_realm_url: str | None = Field(None, description="where the platform realm is reached; the issuer if empty")
    platform_client_id: str | None = Field(None, description="audience that a platform token must name")
    insecure_http_hosts: Strings = Field(
        (), description="hosts (`host` or `host:port`) that may be reached by plain http"
    )
    allowed_private_networks: Strings = Field((), description="CIDRs that realm URLs may resolve into")
    allowed_realm_ports: Ports = Field((80, 443, 8080, 8443), description="ports of realm URLs")
    realm_timeout: float = Field(5, ge=0.5, le=30, description="seconds that one fetch from a realm may take in all")
    key_lifetime: float = Field(300, ge=1, le=86400, description="seconds after which a key set is fetched again")
    key_stale_limit: float = Field(
        86400, ge=0, le=2592000, description="seconds for which stored keys serve while the realm cannot be reached"
    )
    reconcile_interval: float = Field(
        900, ge=0, le=604_800, description="seconds between two checks of each active realm; 0 = none"
    )
    registry_poll: float = Field(0.5, ge=0.05, le=60, description="seconds between two polls of the registry version")
    leeway: int = Field(30, ge=0, le=120, description="seconds of clock difference allowed in exp, nbf and iat")
    max_token_lifetime: int = Field(
        86_400, ge=60, le=31_536_000, description="maximum seconds between iat and exp of a token"
    )
    max_token_bytes: int = Field(
        8192, ge=1024, le=65_536, description="maximum size of the Authorization header's value, and so of a token"
    )
    verified_tokens: int = Field(
        20_000, ge=0, le=10_000_000, description="verified tokens cached per worker, in at most 2 KiB each; 0 = none"
    )
    login_rate: int = Field(
        10, ge=1, le=100_000, description="logins a minute for one user; 10 times that for an address, 100 for a tenant"
    )
    trusted_proxies: Strings = Field(
        (), description="CIDRs of proxies whose X-Forwarded-For and -Proto are used; none if empty"
    )
    docs_enabled: bool | None = Field(None, description="serve /docs, /t/{slug}/docs; on in development if empty")
    cors_origins: Strings = Field((), description="origins (exact) that browsers may call from; none if empty")
    cors_headers: Strings = Field((), description="request headers of your application that those browsers may send")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="serve /metrics there; on the main port if empty"
    )
    log_format: Literal["json", "console"] = Field("json", description="`console` is for terminals")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="events below it are not written"
    )
    access_log: bool = Field(False, description="`serve` logs each request: address, method, path, status")
    roles: Roles = Field(
        None,
        description=f"your application's roles, each with those that it includes, as JSON: `{ROLES_EXAMPLE}`; "
        "if empty: `admin`, which includes `editor`, which includes `viewer`",
    )
    public_url: str | None = Field(None, description="this API's own URL, for metadata and assertions")
    assertion_secret: SecretStr | None = Field(
        None,
        description="turns the internal assertion on and seals its keys; at least 32 characters; `new,old` to change",
    )
    assertion_issuer: str | None = Field(None, description="`iss` of assertions; the public URL if empty")
    assertion_audiences: Strings = Field(
        ("internal",), description="`aud` of assertions: the first, or the one of these that the request names"
    )
    assertion_key_lifetime: int = Field(
        86_400, ge=3600, le=31_536_000, description="seconds for which one key signs assertions"
    )
    audit_retention_days: int = Field(
        0, ge=0, le=36_500, description="days after which `maintenance` removes audit events; 0 = never"
    )
    rejection_retention_days: int = Field(
        90, ge=0, le=36_500, description="days after which `maintenance` removes rejections last seen then; 0 = never"
    )

    @property
    def serves_docs(self) -> bool:
        """Whether the interactive documentation is served."""
        return self.docs_enabled if self.docs_enabled is not None else self.environment == "development"

    @property
    def direct_url(self) -> str:
        """The URL of the database that bypasses a pooler."""
        return self.database_direct_url or self.database_url

    @field_validator("admin_api_key")
    @classmethod
    def _long_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value():
            return None
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("assertion_secret")
    @classmethod
    def _long_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if any(len(one.strip()) < 32 for one in value.get_secret_value().split(",")):
            raise ValueError("must have at least 32 characters; each one of several must")
        return value

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _known_driver(cls, value: str | None) -> str | None:
        if value and not value.startswith(("sqlite+aiosqlite://", "postgresql+psycopg://")):
            raise ValueError("must start with sqlite+aiosqlite:// or postgresql+psycopg://")
        return value or None

    @field_validator("allowed_private_networks", "trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # `*` would allow every page to read responses with a token.
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:200]!r} is not an origin; expected scheme://host[:port] in lower case")
        return value

    @field_validator("roles")
    @classmethod
    def _known_roles(cls, value: Roles) -> Roles:
        for role, included in (value or {}).items():
            for one in included:
                if one not in (value or {}):
                    raise ValueError(f"{role!r} includes {one!r}, which is not a member of the object; add it")
        return value

    @model_validator(mode="after")
    def _whole_platform_realm(self) -> Settings:
        if self.platform_issuer and not self.platform_client_id:
            raise ValueError("TENANTS_PLATFORM_CLIENT_ID is required beside TENANTS_PLATFORM_ISSUER")
        return self

    @model_validator(mode="after")
    def _whole_assertion(self) -> Settings:
        if self.assertion_secret and not (self.assertion_issuer or self.public_url):
            raise ValueError(
                "TENANTS_ASSERTION_ISSUER or TENANTS_PUBLIC_URL is required beside TENANTS_ASSERTION_SECRET"
            )
        if self.assertion_secret and not self.assertion_audiences:
            raise ValueError("TENANTS_ASSERTION_AUDIENCES must name at least one")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        read = ((source, getattr(source, "env_vars", {})) for source in (env_settings, dotenv_settings))
        return (init_settings, *(part for source, found in read for part in (source, _FileSource(settings_cls, found))))


class _FileSource(PydanticBaseSettingsSource):
    """Reads the value of `TENANTS_X` from the file that `TENANTS_X_FILE` names (a mounted secret).

    `variables` are those of the environment or of `.env`, in lower case.
    """

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        super().__init__(settings_cls)
        self._variables = variables

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        path = self._variables.get(variable.lower())
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable} names a file that cannot be read: {path!r}") from error

    def __call__(self) -> dict[str, Any]:
        found = ((name, self.get_field_value(field, name)[0]) for name, field in self.settings_cls.model_fields.items())
        return {name: value for name, value in found if value is not None}


def misspelt_variables() -> dict[str, str]:
    """The variables of the environment and of `.env` that are no settings, each with the setting that it resembles.

    Variables that resemble none are not in it: a Kubernetes Service named `tenants-…` sets many.
    """
    known = [f"{name}{suffix}".upper() for name in Settings.model_fields for suffix in ("", "_file")]
    given = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    # Without the prefix, which would make every two names similar.
    names = {name.upper().removeprefix(PREFIX) for name in given if name.startswith(PREFIX.lower())}
    near = {name: get_close_matches(name, known, n=1, cutoff=_NEAR) for name in sorted(names - {*known})}
    return {f"{PREFIX}{name}": f"{PREFIX}{found[0]}" for name, found in near.items() if found}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a value is wrong; the first wrong one is named.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from error


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    reason = first["msg"].removeprefix("Value error, ")
    if not name:
        return reason
    variable = f"{PREFIX}{name.upper()}"
    is_masked = any(word in name for word in ("key", "url", "secret"))
    value = os.environ.get(variable, "(not in the environment)")
    if _SERVICE_LINK.match(value):
        service = variable.removesuffix("_PORT").lower().replace("_", "-")
        reason = (
            f"Kubernetes sets it for the Service {service}; set `enableServiceLinks: false` in the pod's spec, or"
            f" rename the Service ({reason})"
        )
    return f"{variable} holds {'***' if is_masked else repr(value)}: {reason}"
