"""What a realm says no with: statuses, `error` and `error_description` as Keycloak 26.7.3 words them."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refused(Exception):
    """An OAuth error of the token endpoint (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.error, self.description, self.status = error, description, status

    def response(self) -> JSONResponse:
        body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, status_code=self.status, headers=NO_STORE)


NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_CLIENT = "Invalid client or Invalid client credentials"


def realm_not_enabled() -> Refused:
    """The one place where a disabled realm tells (observed on 26.7)."""
    return Refused("access_denied", "Realm not enabled", 403)


def missing_parameter(name: str) -> Refused:
    return Refused("invalid_request", f"Missing form parameter: {name}")


def unknown_client() -> Refused:
    return Refused("invalid_client", _CLIENT, 401)


def wrong_secret() -> Refused:
    return Refused("unauthorized_client", _CLIENT, 401)


def invalid_grant(description: str) -> Refused:
    return Refused("invalid_grant", description)
