"""What forward auth refuses beyond what the verifier refuses."""

from __future__ import annotations

from tenants_api.errors import ApiError
from tenants_api.verification.errors import REALM


class IdentityTooLarge(ApiError):
    """A name that is cut could be another user's, and a role that is left out could be the one that forbids."""

    status = 403
    code = "identity_too_large"
    title = "The identity does not fit into headers"
    cause = "User name, email and roles of the token take more than 4096 bytes as headers for the service behind."
    cure = "Shorten the user name in the realm, or map fewer roles to the user; nothing is ever cut off."

    def __init__(self) -> None:
        challenge = f'Bearer realm="{REALM}", error="insufficient_scope", error_description="The identity is too large"'
        super().__init__(headers={"WWW-Authenticate": challenge})
