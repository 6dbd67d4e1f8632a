"""Well-known documents: the key set of internal assertions, and the metadata of tenants as protected resources."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from tenants_api.assertions.minting import JWKS_MAX_AGE_SECONDS
from tenants_api.errors import NotFound
from tenants_api.schemas.base import ResponseModel, example
from tenants_api.web.dependencies import ServicesDep, resource_metadata
from tenants_api.web.problems import problem_responses

router = APIRouter(prefix="/.well-known", tags=["discovery"])


class KeySet(ResponseModel):
    """A JSON Web Key Set (RFC 7517 section 5) of public keys."""

    model_config = example(
        keys=[
            {
                "alg": "ES256",
                "crv": "P-256",
                "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
                "kty": "EC",
                "use": "sig",
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            }
        ]
    )

    keys: list[dict[str, str]]


@router.get("/jwks.json", response_model=KeySet, responses=problem_responses(NotFound))
async def jwks(services: ServicesDep, response: Response) -> dict[str, Any]:
    """The keys that verify `X-Internal-Assertion`; 404 unless the assertion is enabled."""
    if services.assertion is None:
        raise NotFound
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE_SECONDS}"
    return services.assertion.jwks()


class ProtectedResource(ResponseModel):
    """The metadata of a protected resource (RFC 9728 section 2)."""

    model_config = example(
        resource="https://api.example/t/acme",
        authorization_servers=["https://id.example/realms/acme"],
        scopes_supported=["openid"],
        bearer_methods_supported=["header"],
        resource_name="Acme",
    )

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str


@router.get(
    "/oauth-protected-resource/t/{tenant_slug}",
    response_model=ProtectedResource,
    responses=problem_responses(NotFound),
)
async def protected_resource(
    tenant_slug: Annotated[str, Path(max_length=63, examples=["acme"])], services: ServicesDep
) -> dict[str, Any]:
    """Where a client gets tokens for this tenant; 404 if the tenant is unknown or does not publish it."""
    found = resource_metadata(services, slug=tenant_slug)
    if found is None:
        raise NotFound
    return found
