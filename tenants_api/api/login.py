"""`POST /t/{slug}/login`: an opt-in password grant at the tenant's own realm.

Off unless the realm has a `login_client_id` (RFC 9700 section 2.4 advises against the grant). The tenant in the path
chooses the realm; nothing in the form does. The realm's token is verified before it is returned.
"""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Form, Path, Request

from tenants_api.composition import Services
from tenants_api.control.login_tries import LoginTry, admit_try
from tenants_api.errors import (
    ApiError,
    InvalidRequest,
    NotFound,
    RateLimited,
    UnsupportedMediaType,
    ValidationFailed,
)
from tenants_api.keycloak.tokens import TokenResponse, password_grant
from tenants_api.outbound.errors import LoginRefused, RealmFault
from tenants_api.registry.errors import RegistryUnavailable
from tenants_api.registry.values import RealmRow, TenantRow, TenantState
from tenants_api.schemas.base import PlainText, ResponseModel, example
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import REALM, KeysUnavailable, TenantSuspended, TokenError
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.problems import problem_responses
from tenants_api.web.routing import StrictRoute

router = APIRouter(tags=["login"], route_class=StrictRoute)
log = structlog.get_logger("tenants_api.login")


class InvalidCredentials(ApiError):
    status = 401
    code = "invalid_credentials"
    title = "User name or password is wrong"
    cause = "The realm refused the login; the operator finds the realm's reason in the log."
    hint = "Check user name and password; after many tries the realm may lock the account for a while."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": f'Bearer realm="{REALM}", error="invalid_token"'})


class KeycloakRefused(ApiError):
    status = 502
    code = "keycloak_refused"
    title = "Keycloak's response cannot be used"
    cause = "The tenant's Keycloak refused this API's request, or its response is not a token response."
    hint = "The operator finds the reason in the log; often the login client lacks direct access grants."


class RealmUnavailable(ApiError):
    status = 503
    code = "realm_unavailable"
    title = "The tenant's realm cannot be reached"
    cause = "The tenant's Keycloak did not respond in time, or responded that it is unavailable."
    hint = "Repeat the request after the seconds in Retry-After."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "5"})


_TOKENS = {
    "access_token": "(a token of the realm)",
    "refresh_token": "(a token for the realm's own token endpoint)",
    "expires_in": 300,
    "refresh_expires_in": 1800,
    "token_type": "Bearer",
    "scope": "openid profile email",
}


class Tokens(ResponseModel):
    """The OAuth 2.0 token response (RFC 6749 section 5.1)."""

    model_config = example(**_TOKENS)

    access_token: str
    refresh_token: str | None
    expires_in: int
    refresh_expires_in: int | None
    token_type: str
    scope: str | None


async def _one_plain_form(request: Request) -> None:
    """RFC 6749 sections 3.2 and 4.3.2: one urlencoded form, and no parameter twice (two parsers would differ)."""
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise UnsupportedMediaType("the body is not a form; send application/x-www-form-urlencoded")
    names = [name for name, _ in (await request.form()).multi_items()]
    if len(names) != len(set(names)):
        raise InvalidRequest("a parameter is given twice")


@router.post(
    "/t/{tenant_slug}/login",
    response_model=Tokens,
    dependencies=[Depends(_one_plain_form)],
    responses=problem_responses(
        InvalidRequest, InvalidCredentials, TenantSuspended, NotFound, UnsupportedMediaType, ValidationFailed,
        RateLimited, KeycloakRefused, RealmUnavailable, RegistryUnavailable,
    ),
)  # fmt: skip
async def login(
    tenant_slug: Annotated[str, Path(max_length=63)],
    username: Annotated[PlainText, Form(min_length=1, max_length=255, examples=["alice"])],
    password: Annotated[str, Form(min_length=1, max_length=1024, examples=["(the password)"])],
    request: Request,
    services: ServicesDep,
) -> TokenResponse:
    """Exchange a user name and a password for tokens of the tenant's realm."""
    tenant, realm = _login_realm(services, slug=tenant_slug)
    address = request.client.host if request.client is not None else ""
    await admit_try(
        services.database, LoginTry(tenant_slug, username, address), rate=services.settings.login_rate,
        now=services.clocks.wall(),
    )  # fmt: skip
    tokens = await _grant(services, realm=realm, username=username, password=password)
    await _verified(services, tokens=tokens, tenant=tenant, realm=realm)
    return tokens


def _login_realm(services: Services, *, slug: str) -> tuple[TenantRow, RealmRow]:
    tenant = services.replica.tenant_by_slug(slug)
    if tenant is not None and tenant.state in (TenantState.ACTIVE, TenantState.SUSPENDED):
        for realm in tenant.realms:
            if realm.enabled and realm.login_client_id:
                return tenant, realm
    raise NotFound


async def _grant(services: Services, *, realm: RealmRow, username: str, password: str) -> TokenResponse:
    client_id: Any = realm.login_client_id
    organization = f" organization:{realm.organization}" if realm.organization else ""
    try:
        return await password_grant(
            services.realms,
            realm.realm_url,
            client_id=client_id,
            username=username,
            password=password,
            scope=f"openid{organization}",  # where tenants share a realm, the token must name the organization
            ca_bundle=realm.ca_bundle,
        )
    except LoginRefused as refused:
        log.info("login_refused", issuer=realm.issuer, kind=refused.kind, error=refused.error)
        if refused.kind == "client_refused":
            raise KeycloakRefused from refused
        raise InvalidCredentials from refused
    except RealmFault as fault:
        log.warning("login_failed", issuer=realm.issuer, reason=fault.reason, message=fault.message)
        if fault.reason in (
            "Unreachable",
            "TimedOut",
            "HttpStatus",
        ):  # or 50x of a proxy
            raise RealmUnavailable from fault
        raise KeycloakRefused from fault


async def _verified(services: Services, *, tokens: TokenResponse, tenant: TenantRow, realm: RealmRow) -> None:
    """Refuse to return a token that this API refuses, or that is another tenant's."""
    try:
        found = await services.verifier.authenticate(Credential.bearer(tokens.access_token), tenant=tenant.slug)
    except (TenantSuspended, KeysUnavailable):
        raise
    except TokenError as error:
        reason = error.refusal.reason if error.refusal is not None else error.code
        log.warning("login_token_refused", issuer=realm.issuer, reason=reason)
        raise KeycloakRefused from error
    if (found.principal.issuer, found.principal.tenant.id) != (realm.issuer, tenant.id):
        log.warning("login_token_refused", issuer=realm.issuer, reason="other_tenant")
        raise KeycloakRefused
