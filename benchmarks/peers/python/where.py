"""The configuration of every peer: issuer and audience of tokens, and URLs of the realm."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

ISSUER, CLIENT_ID = os.environ["ISSUER"], os.environ["CLIENT_ID"]
SERVER, REALM = os.environ["SERVER"], os.environ["REALM"]
CERTS = f"{SERVER}/realms/{REALM}/protocol/openid-connect/certs"
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
