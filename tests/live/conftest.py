"""One real Keycloak and one real `tenants-api serve` for all live tests of a run.

TENANTS_TEST_KEYCLOAK_VERSION picks the version. A machine without Java and Maven skips these tests and says how to
get them; TENANTS_TEST_REQUIRE=keycloak makes that a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.live.api_server import ApiServer, Tenant, running_api
from tests.live.chaos.stage import chaos_realms
from tests.live.keycloak_server import DEFAULT_VERSION, KeycloakServer, missing_tools, running_keycloak
from tests.live.realms import platform_realm, tenant_realm
from tests.support.machine import require

FreshRealm = Callable[[str], str]
FreshTenant = Callable[[str], Tenant]


def required_keycloak() -> str:
    """The version to test against; skips, or fails where it is required, on a machine that cannot run it."""
    version = os.environ.get("TENANTS_TEST_KEYCLOAK_VERSION") or DEFAULT_VERSION
    missing = missing_tools(version)
    require("keycloak", available=not missing, how=f"{' and '.join(missing)} on the PATH; Java 17 or newer and Maven")
    return version


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """A Keycloak with the realms acme, globex and platform; tests change other realms than these."""
    version = required_keycloak()
    realms = [tenant_realm("acme"), tenant_realm("globex"), platform_realm()]
    with running_keycloak(version, folder=tmp_path_factory.mktemp("live"), realms=realms) as server:
        yield server


@pytest.fixture(scope="session")
def mortal_keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """Another one, which may be killed."""
    version = required_keycloak()
    with running_keycloak(version, folder=tmp_path_factory.mktemp("chaos"), realms=chaos_realms()) as server:
        yield server


@pytest.fixture(scope="session")
def api(keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """`tenants-api serve` with two workers on a database of its own, trusting nobody yet but the platform realm."""
    with running_api(keycloak, folder=tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="session")
def acme(api: ApiServer, keycloak: KeycloakServer) -> Tenant:
    """Tenant `acme`, active; tests leave it so."""
    return api.register("acme", issuer=keycloak.issuer("acme"))


@pytest.fixture(scope="session")
def globex(api: ApiServer, keycloak: KeycloakServer) -> Tenant:
    """Tenant `globex`, active; tests leave it so."""
    return api.register("globex", issuer=keycloak.issuer("globex"))


@pytest.fixture
def fresh_realm(keycloak: KeycloakServer) -> Iterator[FreshRealm]:
    """Makes a realm of the test's own, to be broken at will; gives its issuer."""
    made: list[str] = []

    def make(name: str) -> str:
        keycloak.admin.create_realm(tenant_realm(name))
        made.append(name)
        return keycloak.issuer(name)

    yield make
    for name in made:
        keycloak.admin.delete_realm(name)


@pytest.fixture
def fresh_tenant(api: ApiServer, fresh_realm: FreshRealm) -> FreshTenant:
    """Makes a realm of the test's own and registers it as an active tenant of the same name."""

    def make(name: str) -> Tenant:
        return api.register(name, issuer=fresh_realm(name))

    return make
