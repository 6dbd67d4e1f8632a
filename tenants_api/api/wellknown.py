"""What this API publishes about itself: the key set of its internal assertions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from tenants_api.api.dependencies import ServicesDep
from tenants_api.api.problems import problem_responses
from tenants_api.api.wire import WireOut, example
from tenants_api.assertion import CACHED
from tenants_api.errors import NotFound

router = APIRouter(prefix="/.well-known", tags=["discovery"])


class KeySet(WireOut):
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
    """The keys that verify `X-Internal-Assertion`; 404 unless the assertion is turned on."""
    if services.assertion is None:
        raise NotFound
    response.headers["Cache-Control"] = f"public, max-age={CACHED}"
    return services.assertion.jwks()
