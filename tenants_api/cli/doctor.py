"""`tenants-api doctor`: checks an installation; a failed check has a hint."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from sqlalchemy import make_url

from tenants_api.cli.exits import CHECK_FAILED
from tenants_api.cli.output import AsJson, print_json, print_table
from tenants_api.cli.session import run
from tenants_api.cli.session import settings as load_quietly
from tenants_api.composition import Services, open_services
from tenants_api.control import service
from tenants_api.database.row_security import OTHER_ROLE, role_faults
from tenants_api.readiness import NotReady
from tenants_api.registry.changes import load_all
from tenants_api.registry.repository import registered_draft
from tenants_api.registry.values import RealmRow, TenantRow, TenantState
from tenants_api.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Finding:
    """A check; its outcome is `ok`, `failed` or `note`."""

    check: str
    outcome: str
    detail: str


def doctor(
    realms: Annotated[bool, typer.Option("--realms", help="Also check every active realm.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, database and registry; exit 3 if a check fails."""
    findings = run(_collect(realms=realms))
    if as_json:
        print_json({"data": [asdict(finding) for finding in findings]})
    else:
        print_table(("check", "outcome", "detail"), ((f.check, f.outcome, f.detail) for f in findings))
    if any(finding.outcome == "failed" for finding in findings):
        raise typer.Exit(CHECK_FAILED)


async def _collect(*, realms: bool) -> list[Finding]:
    async with aclosing(_findings(realms=realms)) as found:
        return [finding async for finding in found]


async def _findings(*, realms: bool) -> AsyncGenerator[Finding, None]:
    try:
        settings = load_quietly()
    except SettingsError as error:
        yield Finding("settings", "failed", str(error))
        return
    yield Finding("settings", "ok", f"environment {settings.environment}")
    yield _realm_targets(settings)
    try:
        async with open_services(settings, background=False) as services:
            yield Finding("database", "ok", f"{make_url(settings.database_url).render_as_string()}, migrated")
            yield await _role(services)
            async for finding in _registry(services, realms=realms):
                yield finding
    except NotReady as error:
        yield Finding("database", "failed", str(error))


def _realm_targets(settings: Settings) -> Finding:
    opened = [*settings.insecure_http_hosts, *settings.allowed_private_networks]
    if opened and settings.environment == "production":
        return Finding("realm URLs", "note", f"production allows http or private addresses: {', '.join(opened)}")
    return Finding("realm URLs", "ok", f"allowed besides public https: {', '.join(opened) or 'nothing'}")


async def _role(services: Services) -> Finding:
    faults = await role_faults(services.database)
    if faults:  # with these a process in production does not start
        detail = f"{' and '.join(faults)}; {OTHER_ROLE}"
        return Finding("database role", "note", f"development only, it bypasses row-level security: {detail}")
    bound = services.database.is_postgresql
    return Finding("database role", "ok", "row-level security applies to it" if bound else "SQLite has no roles")


async def _registry(services: Services, *, realms: bool) -> AsyncGenerator[Finding, None]:
    async with services.database.read() as session:
        tenants = [tenant async for some in load_all(session) for tenant in some]
    counts = Counter(tenant.state for tenant in tenants)
    states = ", ".join(f"{counts[state]} {state}" for state in TenantState)
    yield Finding("registry", "ok", f"version {services.replica.version}; {states}")
    if realms:
        for tenant in tenants:
            for realm in tenant.realms if tenant.state == TenantState.ACTIVE else ():
                yield await _check_registered(services, tenant=tenant, realm=realm)


async def _check_registered(services: Services, *, tenant: TenantRow, realm: RealmRow) -> Finding:
    async with services.database.read() as session:
        draft = registered_draft(await service.get_realm(session, ref=str(tenant.id), realm_id=realm.id))
    report = await services.commands.checks.check(draft)
    failed = next((c for c in reversed(report.conditions) if c.status == "False" and c.type != "Ready"), None)
    if report.ready or failed is None:
        return Finding(f"realm of {tenant.slug}", "ok", realm.issuer)
    return Finding(f"realm of {tenant.slug}", "failed", f"{realm.issuer}: {failed.reason}: {failed.message}")
