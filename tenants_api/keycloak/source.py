"""The key source: fetches a realm's JWKS and status."""

from __future__ import annotations

import asyncio

from tenants_api.jwks.realm_keys import Fetched, KeyOwner, SourceFailed
from tenants_api.keycloak.realm import fetch_jwks, fetch_status
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.errors import RealmFault

STATUS_DEADLINE_SECONDS = 3.0


class RealmKeySource:
    """Fetches a realm's keys and status at the same time; the status is None where it cannot be read."""

    def __init__(self, client: RealmClient) -> None:
        self._client = client

    async def fetch(self, realm: KeyOwner) -> Fetched:
        """See `KeySource`."""
        async with asyncio.TaskGroup() as group:
            status = group.create_task(self._status(realm))
            keys = group.create_task(self._keys(realm))
        jwks = keys.result()
        if isinstance(jwks, RealmFault):
            raise SourceFailed(jwks.reason, message=jwks.message) from jwks
        not_before, enabled = status.result()
        return Fetched(jwks, not_before, enabled)

    async def _keys(self, realm: KeyOwner) -> bytes | RealmFault:
        try:
            return await fetch_jwks(self._client, realm.realm_url, ca_bundle=realm.ca_bundle)
        except RealmFault as fault:
            return fault

    async def _status(self, realm: KeyOwner) -> tuple[int | None, bool | None]:
        try:
            async with asyncio.timeout(STATUS_DEADLINE_SECONDS):
                status = await fetch_status(self._client, realm.realm_url, ca_bundle=realm.ca_bundle)
        except (RealmFault, TimeoutError):
            return None, None
        return status.not_before, status.enabled
