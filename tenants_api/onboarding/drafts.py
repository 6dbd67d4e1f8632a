"""From what an admin wrote about a realm to a `RealmDraft`, and back: form only, no network."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.targets import TargetPolicy
from tenants_api.keycloak.urls import lower_host, parse_issuer, parse_realm_url
from tenants_api.registry.values import RealmDraft
from tenants_api.verification.jwk import ALGORITHMS

MAX_CA_BUNDLE = 65_536


def realm_draft(
    *,
    issuer: str,
    client_id: str,
    policy: TargetPolicy,
    realm_url: str | None = None,
    organization: str | None = None,
    audiences: Sequence[str] | None = None,
    authorized_parties: Sequence[str] = (),
    algorithms: Sequence[str] | None = None,
    login_client_id: str | None = None,
    docs_client_id: str | None = None,
    issuer_check: str = "discovery",
    ca_bundle: str | None = None,
    enabled: bool = True,
) -> RealmDraft:
    """Check the form of a realm and fill in what follows from the rest.

    Raises:
        ValidationFailed: each wrong field with a pointer relative to the realm (`/issuer`).
    """
    wrong: list[FieldError] = []
    audiences = tuple(audiences or (client_id,))
    algorithms = tuple(algorithms or ("RS256",))
    kept_issuer = kept_url = issuer
    with _reported("/issuer", wrong=wrong):
        kept_issuer = parse_issuer(issuer, policy=policy).issuer
        kept_url = lower_host(kept_issuer)
    if realm_url is not None:
        with _reported("/realm_url", wrong=wrong):
            kept_url = parse_realm_url(realm_url, policy=policy)
    _check_audiences(audiences, wrong=wrong)
    _check_algorithms(algorithms, wrong=wrong)
    _check_ca_bundle(ca_bundle, wrong=wrong)
    if wrong:
        raise ValidationFailed("the realm cannot be registered as it is described", errors=wrong)
    return RealmDraft(
        issuer=kept_issuer,
        realm_url=kept_url,
        client_id=client_id,
        organization=organization,
        audiences=audiences,
        authorized_parties=tuple(authorized_parties),
        algorithms=algorithms,
        login_client_id=login_client_id,
        docs_client_id=docs_client_id,
        issuer_check=issuer_check,
        ca_bundle=ca_bundle,
        enabled=enabled,
    )


@contextmanager
def _reported(pointer: str, *, wrong: list[FieldError]) -> Iterator[None]:
    try:
        yield
    except RealmFault as fault:
        wrong.append(FieldError(pointer, f"{fault.reason}: {fault.message}"))


def _check_audiences(audiences: Sequence[str], *, wrong: list[FieldError]) -> None:
    for position, audience in enumerate(audiences):
        if audience == "account":
            # Keycloak puts `account` into nearly every token of a realm: it says nothing about this API.
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
        if len(bundle) > MAX_CA_BUNDLE or not bundle.isascii() or "\0" in bundle:
            raise ValueError("too long, or not PEM")
        ssl.create_default_context(cadata=bundle)
    except (ssl.SSLError, ValueError):
        wrong.append(FieldError("/ca_bundle", "not a PEM bundle of CA certificates in US-ASCII of at most 64 KiB"))
