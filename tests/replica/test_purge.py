"""A tenant that is deleted and purged between two looks of a replica: its cached tokens end there all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenants_api.control import service
from tenants_api.registry.values import Transition
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.support.realms import CHANGE, dev_realms, services_for, settings_for, tenant_draft


async def test_purged_tenant_is_forgotten_by_a_replica_that_never_saw_it_deleted(tmp_path: Path) -> None:
    with dev_realms("acme", "globex") as realms:
        settings = settings_for(realms, tmp_path, registry_poll=60)
        async with services_for(settings) as here, services_for(settings) as there:
            for name in ("acme", "globex"):
                await here.commands.create(tenant_draft(here, realms, name), activate="now", change=CHANGE)
            await there.replica.refresh()
            tokens = [realms.realm(name).mint() for name in ("acme", "globex")]
            assert [(await explain(there.verifier, Credential.bearer(raw))).reason for raw in tokens] == [
                "accepted",
                "accepted",
            ]
            async with here.database.begin() as session:
                await service.move(session, ref="acme", transition=Transition.DELETE, change=CHANGE)
                await service.purge_tenant(session, ref="acme", change=CHANGE)
            await asyncio.gather(here.replica.refresh(), there.replica.refresh())
            for replica in (here, there):
                reasons = [(await explain(replica.verifier, Credential.bearer(raw))).reason for raw in tokens]
                assert reasons == ["unknown_issuer", "accepted"]
