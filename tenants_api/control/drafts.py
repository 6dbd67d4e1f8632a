"""Convert descriptions of realms and tenants to drafts, and back. Checks their form; makes no request."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.jwks.parse import ALGORITHMS
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.outbound.urls import lower_host, parse_issuer, parse_realm_url
from tenants_api.registry.models import Tenant
from tenants_api.registry.repository import registered_draft, rules_of
from tenants_api.registry.values import RealmDraft, TenantDraft, frozen, names_of
from tenants_api.role_rules import RoleRule
from tenants_api.tokens.principal import RoleModel, default_rules, matching_rules

MAX_CA_BUNDLE_CHARACTERS = 65_536
_MEMBERS = names_of(RealmDraft)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What drafts are checked against: the URLs where realms may be, and the roles of this application."""

    policy: TargetPolicy
    roles: frozenset[str]


def realm_draft(*, issuer: str, client_id: str, policy: TargetPolicy, **members: Any) -> RealmDraft:
    """Check the form of a realm and derive the members that are not given.

    `members` are other members of `RealmDraft` by name; None and an empty list mean the default.

    Raises:
        ValidationFailed: one error for each wrong member, with a pointer relative to the realm (`/issuer`).
    """
    wrong: list[FieldError] = []
    given = {name: frozen(value) for name, value in members.items() if value not in (None, [], ())}
    with _reported("/issuer", wrong=wrong):
        issuer = parse_issuer(issuer, policy=policy).issuer
    if "realm_url" in given:
        with _reported("/realm_url", wrong=wrong):
            given["realm_url"] = parse_realm_url(given["realm_url"], policy=policy)
    draft = replace(_plain(issuer, client_id=client_id), **given)
    _check_audiences(draft.audiences, wrong=wrong)
    _check_algorithms(draft.algorithms, wrong=wrong)
    _check_ca_bundle(draft.ca_bundle, wrong=wrong)
    if wrong:
        raise ValidationFailed("the realm's description is not valid", errors=wrong)
    return draft


def members_of(draft: RealmDraft) -> dict[str, Any]:
    """The members from which `realm_draft` makes this draft, in JSON; derived ones are left out."""
    plain = _plain(draft.issuer, client_id=draft.client_id)
    members = {name: getattr(draft, name) for name in _MEMBERS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in members.items()
        if name in ("issuer", "client_id") or value != getattr(plain, name)
    }


def _plain(issuer: str, *, client_id: str) -> RealmDraft:
    """A realm with the default of every other member."""
    return RealmDraft(issuer=issuer, realm_url=lower_host(issuer), client_id=client_id, audiences=(client_id,))


@contextmanager
def _reported(pointer: str, *, wrong: list[FieldError]) -> Iterator[None]:
    try:
        yield
    except RealmFault as fault:
        wrong.append(FieldError(pointer, f"{fault.reason}: {fault.message}"))


def _check_audiences(audiences: Sequence[str], *, wrong: list[FieldError]) -> None:
    for position, audience in enumerate(audiences):
        if audience == "account":
            # Keycloak puts `account` into nearly every token of a realm, also into those for other APIs.
            detail = "'account' is in nearly every token of a realm; name your API's client and add an audience mapper"
            wrong.append(FieldError(f"/audiences/{position}", detail))


def _check_algorithms(algorithms: Sequence[str], *, wrong: list[FieldError]) -> None:
    for position, algorithm in enumerate(algorithms):
        if algorithm not in ALGORITHMS:
            detail = f"{algorithm[:20]!r} is not one of {', '.join(sorted(ALGORITHMS))}"
            wrong.append(FieldError(f"/algorithms/{position}", detail))


def _check_ca_bundle(bundle: str | None, *, wrong: list[FieldError]) -> None:
    if bundle is None:
        return
    try:
        if len(bundle) > MAX_CA_BUNDLE_CHARACTERS or not bundle.isascii() or "\0" in bundle:
            raise ValueError("too long, or not PEM")
        ssl.create_default_context(cadata=bundle)
    except (ssl.SSLError, ValueError):
        wrong.append(FieldError("/ca_bundle", "not a PEM bundle of CA certificates in US-ASCII of at most 64 KiB"))


def registered_tenant(tenant: Tenant) -> TenantDraft:
    """The draft of a stored tenant; its realms and rules must be loaded."""
    return TenantDraft(
        slug=tenant.slug,
        name=tenant.name,
        external_id=tenant.external_id,
        realms=tuple(registered_draft(realm) for realm in tenant.realms),
        role_mapping=rules_of(tenant),
        metadata=tenant.metadata_,
        resource_metadata=tenant.resource_metadata,
    )


@dataclass(frozen=True, slots=True)
class RolePreview:
    """The roles that the claims give, without included roles, and the rules that matched."""

    roles: tuple[str, ...]
    matched: tuple[RoleRule, ...]


def preview_roles(tenant: Tenant, *, claims: Mapping[str, Any], model: RoleModel) -> RolePreview:
    """The roles of a token with these claims; the tenant's realms and rules must be loaded.

    Without a mapping the default rules apply: of the realm whose issuer is `iss`, or of all realms if there is none.
    """
    rules = rules_of(tenant)
    if not rules:
        named = [realm for realm in tenant.realms if realm.issuer == claims.get("iss")]
        clients = dict.fromkeys(realm.client_id for realm in named or tenant.realms)
        rules = tuple(rule for client_id in clients for rule in default_rules(client_id, names=model.names))
    matched = matching_rules(claims, rules=rules)
    return RolePreview(tuple(sorted({rule.role for rule in matched} & model.names)), matched)
