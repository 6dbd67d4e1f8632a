"""The registry written as a file: one snapshot, in a stable order, the same bytes for the same tenants."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tenants_api.cli.gitops.documents import document, line
from tenants_api.cli.gitops.intake import Format
from tenants_api.cli.gitops.yaml_files import write_yaml
from tenants_api.cli.session import services
from tenants_api.db import Database
from tenants_api.onboarding.drafts import registered_tenant
from tenants_api.registry.bulk import living_tenants


async def export_tenants(output: Path | None, *, of: Format) -> None:
    """To a file, which is there whole or not at all, or to stdout."""
    async with services(load=False) as opened:
        if output is None:
            async for text in exported(opened.database, of=of):
                sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
            return
        half = output.with_name(output.name + ".part")
        with half.open("wb") as stream:
            async for text in exported(opened.database, of=of):
                stream.write(text)
        os.replace(half, output)


async def exported(database: Database, *, of: Format) -> AsyncIterator[bytes]:
    """Every tenant that is not deleted, by slug, as one document each."""
    async with database.read() as session:
        if database.is_postgresql:
            # One snapshot for all queries: SQLite's read transaction is one, PostgreSQL's must be told.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        async for tenants in living_tenants(session):
            for tenant in tenants:
                value = document(registered_tenant(tenant), state=tenant.state)
                yield write_yaml(value) if of is Format.YAML else f"{line(value)}\n".encode()
