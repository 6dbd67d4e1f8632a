"""A change of the registry that meets a verification which waits for keys: its end decides."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest

from tenants_api.role_rules import RoleRule
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.principal import TenantRef
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage, settle

RULES = (RoleRule("realm", "chief", "admin"),)


def suspend(stage: Stage) -> None:
    stage.add("acme", suspended=True)


def delete(stage: Stage) -> None:
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    stage.snapshot.remove(realm.id)
    stage.jwks_cache.drop(realm.id)


def register_again(stage: Stage) -> None:
    """Under another tenant, as after a purge: another row with the same issuer."""
    delete(stage)
    heir = TenantRef(uuid.uuid5(uuid.NAMESPACE_URL, "heir"), "heir", "Heir")
    stage.add("acme", id=uuid.uuid5(uuid.NAMESPACE_DNS, "heir"), tenant=heir)


def move_issuer(stage: Stage) -> None:
    stage.add("acme", issuer=stage.issuer("moved"), realm_url=stage.issuer("moved"))


def give_to_an_organization(stage: Stage) -> None:
    stage.snapshot.share(stage.issuer("acme"))


def refuse_algorithm(stage: Stage) -> None:
    stage.add("acme", algorithms=frozenset({"ES256"}))


CHANGES: dict[str, tuple[Callable[[Stage], None], str]] = {
    "suspended": (suspend, "tenant_suspended:tenant_suspended"),
    "deleted": (delete, "invalid_token:unknown_issuer"),
    "registered again under another tenant": (register_again, "accepted:heir"),
    "moved to another issuer": (move_issuer, "invalid_token:unknown_issuer"),
    "an organization registered": (give_to_an_organization, "invalid_token:unknown_organization"),
    "the algorithm taken out": (refuse_algorithm, "invalid_token:algorithm_refused"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fails", [False, True], ids=["keys come", "keys fail"])
async def test_change_that_meets_a_verification_in_flight_decides_it(stage: Stage, change: str, fails: bool) -> None:
    apply, expected = CHANGES[change]
    issuer, token = stage.issuer("acme"), stage.token(organization=["red"])
    gate = stage.world.gates[issuer] = asyncio.Event()
    waiting = asyncio.create_task(stage.outcome(token))
    await settle()
    apply(stage)
    if fails:
        stage.world.failures[issuer] = "Unreachable"
    gate.set()
    outcome = await waiting
    if fails and expected in ("accepted:heir", "tenant_suspended:tenant_suspended"):
        assert outcome == "keys_unavailable:keys_unavailable"
        return
    assert outcome == expected
    assert await stage.outcome(token) == expected, "nor does the cache hold what the registry gave before"


async def test_roles_are_those_of_the_end_of_the_wait(stage: Stage) -> None:
    stage.add("acme", rules=RULES)
    gate = stage.world.gates[stage.issuer("acme")] = asyncio.Event()
    token = stage.token(realm_access={"roles": ["chief"]})
    waiting = asyncio.create_task(stage.verifier.verify(Credential.bearer(token)))
    await settle()
    stage.add("acme", rules=(RoleRule("realm", "chief", "viewer"),))
    gate.set()
    assert (await waiting).roles == {"viewer"}
    assert (await stage.verifier.verify(Credential.bearer(token))).roles == {"viewer"}


async def test_keys_that_arrive_for_the_old_issuer_are_not_those_of_the_new_one(stage: Stage) -> None:
    old, new = stage.issuer("acme"), stage.issuer("moved")
    stage.world.answers[new] = jwks(Key("moved"))
    gate = stage.world.gates[old] = asyncio.Event()
    waiting = asyncio.create_task(stage.outcome(stage.token()))
    await settle()
    move_issuer(stage)
    gate.set()
    assert await waiting == "invalid_token:unknown_issuer"
    forged = stage.keys["acme"].token({**stage.claims(), "iss": new})
    assert (await stage.outcome(forged)).startswith("invalid_token:")
    assert await stage.outcome(Key("moved").token({**stage.claims(), "iss": new})) == "accepted:acme"


async def test_organization_registered_later_ends_what_the_cache_holds_for_the_whole_realm(stage: Stage) -> None:
    token = stage.token(organization=["red"])
    assert await stage.outcome(token) == "accepted:acme"
    stage.add("red", issuer=stage.issuer("acme"), organization="red")
    assert await stage.outcome(token) == "accepted:red"
