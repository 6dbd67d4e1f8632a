"""Which headers a proxy must clear before it asks, in every spelling that a service behind it may take for the same.

CGI and WSGI turn `X_Tenant_Id` and `X-Tenant-Id` into one variable; PHP and others do so with every character that is
neither letter nor digit (Caddy GHSA-f59h-q822-g45g, Traefik GHSA-x677-9fxg-v5c5).
"""

from __future__ import annotations

from itertools import product

from tenants_api.authz.identity import ASSERTION, IDENTITY_HEADERS

# Set by us, all of them or the assertion only where it is turned on.
PASSED_ON = (*IDENTITY_HEADERS, ASSERTION)
# Never set by us, but services written for other authorizers believe them; the last one asks for a tunnel in HTTP/2.
FOREIGN = (
    "X-Auth-Request-Groups",
    "X-Auth-Request-Access-Token",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Remote-User",
    "X-Scope-OrgID",
    "Remote-User",
    "Forwarded",
    "HTTP2-Settings",
)
# What a service may believe of the client's address, its certificate and its path; `Proxy` is HTTP_PROXY in CGI.
CLAIMS = (
    "Client-Cert",
    "Client-Cert-Chain",
    "Proxy",
    "SSL-Client-Cert",
    "True-Client-IP",
    "X-Client-Cert",
    "X-Client-IP",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Original-URI",
    "X-Original-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
    "X-SSL-Client-Cert",
)
SET_BY_TRAEFIK = frozenset({"X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP"})
CLEARED = (*PASSED_ON, *FOREIGN, *CLAIMS)
# What else a header's name may hold beside letters, digits and hyphens (`token`, RFC 9110 section 5.6.2).
SEPARATORS = "!#$%&'*+.^_`|~"


def aliases(name: str, *, separators: str = "_.") -> list[str]:
    """The name's other spellings, with one of `separators` in place of one hyphen or more."""
    words = name.split("-")
    found = []
    for between in product(f"-{separators}", repeat=len(words) - 1):
        found.append("".join(map("".join, zip(words, (*between, ""), strict=True))))
    return found[1:]
