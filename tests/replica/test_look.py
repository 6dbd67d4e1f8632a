"""Before a server starts it is seen that the registry can be read; that reads little and keeps nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenants_api.readiness import NotReady
from tests.support.realms import CHANGE, dev_realms, services_for, settings_for, tenant_draft


async def test_look_keeps_nothing_of_what_it_reads(tmp_path: Path) -> None:
    with dev_realms("acme") as realms:
        settings = settings_for(realms, tmp_path)
        async with services_for(settings, background=False) as services:
            await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
        async with services_for(settings, background=False, load=False) as looking:
            assert (looking.replica.realm_count, looking.replica.loaded) == (0, False)
        async with services_for(settings, background=False) as serving:
            assert (serving.replica.realm_count, serving.replica.loaded) == (1, True)


@pytest.mark.parametrize("table", ["tenants", "realms", "role_rules", "realm_keys", "registry_version"])
async def test_look_finds_a_table_that_cannot_be_read(tmp_path: Path, table: str) -> None:
    with dev_realms("acme") as realms:
        settings = settings_for(realms, tmp_path)
        async with services_for(settings, background=False) as services:
            await services.commands.create(tenant_draft(services, realms, "acme"), activate="now", change=CHANGE)
            async with services.database.engine.begin() as connection:
                await connection.exec_driver_sql(f"alter table {table} rename to gone")
        with pytest.raises(NotReady):
            async with services_for(settings, background=False, load=False):
                pass
