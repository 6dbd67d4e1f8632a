"""How realms, conditions and keys look on the wire of the admin plane. Reads and writes are different classes."""

from __future__ import annotations

import uuid
from typing import Annotated

from pydantic import BeforeValidator, Field

from tenants_api.api.admin.fields import Identifier, Url, absent
from tenants_api.api.wire import Time, WireIn, WireOut

Audiences = Annotated[list[Identifier], Field(min_length=1, max_length=20, examples=[["orders-api"]])]
Parties = Annotated[list[Identifier], Field(max_length=50, examples=[["orders-web"]])]
Algorithms = Annotated[list[Identifier], Field(min_length=1, max_length=10, examples=[["RS256"]])]
CaBundle = Annotated[str, Field(max_length=65_536, description="PEM certificates of the authorities to trust there")]
Organization = Annotated[str | None, BeforeValidator(lambda value: value or None)]


class RealmIn(WireIn):
    """A realm as an admin describes it. Only the issuer and the client id are needed."""

    issuer: Url
    client_id: Identifier = Field(examples=["orders-api"])
    realm_url: Url | None = Field(default=None, description="where this API reaches the realm; the issuer if left out")
    organization: Identifier | None = None
    audiences: Audiences | None = Field(default=None, description="one must be in `aud`; `[client_id]` if left out")
    authorized_parties: Parties | None = Field(default=None, description="empty: any client of the realm")
    algorithms: Algorithms | None = Field(default=None, description='`["RS256"]` if left out')
    login_client_id: Identifier | None = None
    docs_client_id: Identifier | None = None
    ca_bundle: CaBundle | None = None
    enabled: bool = True


class RealmPatch(WireIn):
    """A merge patch (RFC 7396): what is left out stays, null goes back to the default.

    A `realm_url` that was the issuer follows a new issuer, and `audiences` that were `[client_id]` a new client id.
    """

    issuer: Url = Field(default_factory=absent)
    client_id: Identifier = Field(default_factory=absent)
    realm_url: Url | None = None
    organization: Identifier | None = None
    audiences: Audiences | None = None
    authorized_parties: Parties | None = None
    algorithms: Algorithms | None = None
    login_client_id: Identifier | None = None
    docs_client_id: Identifier | None = None
    ca_bundle: CaBundle | None = None
    enabled: bool = Field(default_factory=absent)


class ConditionOut(WireOut):
    """One named check with its outcome; `reason` is a stable code, `message` names both values and the cure."""

    type: str = Field(examples=["KeysFetched"])
    status: str = Field(examples=["True"], description="True, False or Unknown")
    reason: str = Field(examples=["Fetched"])
    message: str
    last_transition_time: Time | None = Field(default=None, description="null in a report that is not stored")


class RealmOut(WireOut):
    """A registered realm. `health` is what was observed last; `conditions` are its last checks, in their order."""

    id: uuid.UUID
    issuer: str
    realm_url: str
    organization: Organization
    client_id: str
    audiences: list[str]
    authorized_parties: list[str]
    algorithms: list[str]
    login_client_id: str | None
    docs_client_id: str | None
    ca_bundle: str | None
    enabled: bool
    health: str = Field(examples=["healthy"], description="unknown, healthy, degraded or failing")
    conditions: list[ConditionOut]
    version: int
    created_at: Time
    updated_at: Time


class RealmList(WireOut):
    """All realms of a tenant; there are twenty at most."""

    data: list[RealmOut]


class KeyOut(WireOut):
    kid: str
    alg: str
    use: str
    first_seen: Time | None
    last_used: Time | None


class KeysOut(WireOut):
    """A realm's keys as this worker holds them; `source` is `live`, `stored` or null (never fetched)."""

    realm_id: uuid.UUID
    issuer: str
    keys: list[KeyOut]
    fetched_at: Time | None
    next_refresh: Time | None
    source: str | None
