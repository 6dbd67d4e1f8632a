"""D of the catalogue: claims that are signed and not believed, and odd ones that must do no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.attacks.arena import Arena
from tests.attacks.battery.cases import ACCEPTED
from tests.support.tokens import DROP

pytestmark = pytest.mark.xdist_group("battery-d")


async def shown(arena: Arena, realm: str = "acme", /, **claims: Any) -> dict[str, Any]:
    """What /v1/me says of a token with these claims; it is accepted."""
    answer = await arena.me(arena.mint.token(realm, claims=claims))
    assert answer.shown == ACCEPTED, answer.body
    found: dict[str, Any] = answer.json
    return found


async def test_d9_tenant_is_told_by_the_issuer_where_two_realms_name_one_audience(arena: Arena) -> None:
    assert (await shown(arena, "acme", aud="tenants-api"))["tenant"]["slug"] == "acme"
    assert (await shown(arena, "globex", aud="tenants-api"))["tenant"]["slug"] == "globex"


@pytest.mark.parametrize(
    "subject",
    [
        "../admin",
        "' or 1=1 --",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "=cmd()|' /C calc'!A0",
        "%s%n",
        "${jndi:x}",
        "ünï",
    ],
)
async def test_d12_hostile_subject_is_text(arena: Arena, subject: str) -> None:
    assert (await shown(arena, sub=subject))["subject"] == subject


@pytest.mark.parametrize(
    "value", [10**400, 1.5, True, None, ["x"], {"a": 1}, "x" * 1300], ids=lambda value: f"{value!r:.20}"
)
async def test_d13_odd_profile_claims_never_break_the_answer(arena: Arena, value: Any) -> None:
    me = await shown(arena, name=value, email=value, preferred_username=value, email_verified=value)
    texts = {me["full_name"], me["email"], me["username"]}
    assert texts == {value if isinstance(value, str) else None}
    assert me["email_verified"] is (True if value is True else None)


async def test_d14_nul_in_a_claim_reaches_no_database(arena: Arena) -> None:
    """D14: PostgreSQL refuses NUL in text. A subject, which is stored, has none; a name is shown, never stored."""
    assert (await shown(arena, name="a\0b"))["full_name"] == "a\0b"
    raw = arena.mint.token(claims={"preferred_username": "a\0b", "email": "\0", "name": "\0"})
    body = b'{"title": "x"}'
    lines = (f"Authorization: Bearer {raw}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    head = "\r\n".join(["POST /v1/items HTTP/1.1", "Host: api.test", "Connection: close", *lines, "", ""])
    answer = await arena.send(head.encode() + body)
    assert answer.status == 201
    assert answer.json["created_by"] == arena.mint.claims()["sub"]


ROLES = {
    "text for a list": {"tenants-api": {"roles": "admin"}},
    "odd members": {"tenants-api": {"roles": [1, None, {}, ["admin"], {"admin": 1}]}},
    "object for a list": {"tenants-api": {"roles": {"admin": True}}},
    "list for an object": ["admin"],
    "list for the client": {"tenants-api": ["admin"]},
    "text": "admin",
    "nothing": None,
    "another client": {"globex-api": {"roles": ["admin"]}, "web": {"roles": ["admin"]}},
    "client in another case": {"Tenants-API": {"roles": ["admin"]}},
    "number": 7,
}
GRANTS_NOTHING = {name: {"resource_access": access, "realm_access": access} for name, access in ROLES.items()} | {
    "roles of the realm": {
        "realm_access": {"roles": ["admin", "realm-admin", "platform-admin"]},
        "resource_access": [],
    },
    "scope": {"scope": ["admin"], "resource_access": {}},
    "groups": {"groups": ["admin", "/admin"], "resource_access": {}},
}


@pytest.mark.parametrize("claims", GRANTS_NOTHING.values(), ids=GRANTS_NOTHING)
async def test_d15_roles_of_another_shape_client_or_claim_grant_nothing(arena: Arena, claims: dict[str, Any]) -> None:
    assert (await shown(arena, **claims))["roles"] == []


async def test_d15_a_role_counts_however_many_stand_before_it(arena: Arena) -> None:
    """D15: one that is not looked at is a wrong answer without a reason; the token's size is bound enough."""
    many = {"tenants-api": {"roles": [str(number % 10) for number in range(1001)] + ["admin"]}}
    payload = json.dumps(arena.mint.claims(resource_access=many), separators=(",", ":")).encode()
    assert (await arena.me(arena.mint.token(payload=payload))).json["roles"] == ["admin"]
    assert (await shown(arena, "globex", resource_access={"tenants-api": {"roles": ["0"]}}))["roles"] == []


LOOKALIKES = (
    "platform-admin", "realm-admin", "ADMIN", "Admin", "admin ", "\u0430dmin", "adm\u200bin", "\uff41dmin", "admin\0",
    "*", "",
)  # fmt: skip


@pytest.mark.parametrize("role", LOOKALIKES)
async def test_d16_role_that_only_looks_like_one_of_ours_grants_nothing(arena: Arena, role: str) -> None:
    both = {"roles": [role]}
    assert (await shown(arena, realm_access=both, resource_access={"tenants-api": both}))["roles"] == []


async def test_d16_platform_admin_of_a_tenants_realm_is_nobody_on_the_admin_plane(arena: Arena) -> None:
    everything = {"roles": ["platform-admin", "admin", "realm-admin"]}
    raw = arena.mint.token(claims={"realm_access": everything, "resource_access": {"tenants-api": everything}})
    answer = await arena.get(f"Authorization: Bearer {raw}", path="/admin/v1/tenants")
    assert answer.shown == (401, "invalid_token")


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("openid  email", ["openid", "email"]),
        ("openid\temail,x", ["openid\temail,x"]),
        (["openid"], []),
        ({"openid": 1}, []),
        (None, []),
        (" ", []),
        ("a\nb\u00a0c", ["a\nb\u00a0c"]),
    ],
    ids=lambda value: f"{value!r}",
)
async def test_d17_scopes_are_split_at_spaces_and_nowhere_else(arena: Arena, scope: Any, scopes: list[str]) -> None:
    assert (await shown(arena, scope=scope))["scopes"] == scopes


async def test_d18_authorized_party_of_the_list_is_accepted(arena: Arena) -> None:
    """D18: what the refusals are measured against; a realm without a list takes any client."""
    assert (await shown(arena, "curves", azp="web"))["authorized_party"] == "web"
    assert (await shown(arena, "acme", azp="mobile"))["authorized_party"] == "mobile"
    assert (await shown(arena, "acme", azp=DROP))["authorized_party"] is None


async def test_d19_service_account_is_told_apart_and_not_by_a_user_who_calls_himself_one(arena: Arena) -> None:
    robot = arena.client.server.realm("acme").mint(kind="service_account")
    assert (await arena.me(robot)).json["service_account"] is True
    pretender = await shown(arena, preferred_username="service-account-tenants-api", act={"sub": "root"})
    assert pretender["service_account"] is False
    assert pretender["subject"] == arena.mint.claims()["sub"]


async def test_d20_email_of_another_tenants_admin_is_only_a_text(arena: Arena) -> None:
    theirs = await shown(arena, "globex", email="admin@globex.example", sub="s")
    ours = await shown(arena, "acme", email="admin@globex.example", email_verified=True, sub="s")
    assert theirs["email"] == ours["email"]
    assert (ours["tenant"]["slug"], ours["issuer"]) == ("acme", arena.mint.issuer("acme"))
    assert ours["tenant"]["id"] != theirs["tenant"]["id"]


async def test_d22_hints_of_another_tenant_are_not_read(arena: Arena) -> None:
    hints = dict.fromkeys(
        [
            "tenant",
            "tenant_id",
            "tenant_slug",
            "tid",
            "org",
            "org_id",
            "organization",
            "organizations",
            "realm",
            "client_id",
            "azp",
        ],
        "globex",
    )
    assert (await shown(arena, **hints))["tenant"]["slug"] == "acme"
