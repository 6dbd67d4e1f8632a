"""E: issuers that look like a registered one, and tokens of one realm in another's clothes."""

from __future__ import annotations

from collections.abc import Callable

from tests.attacks.battery.cases import Hostile, Mint

_TWINS: dict[str, Callable[[str], str]] = {
    "slash at the end": lambda issuer: issuer + "/",
    "two slashes": lambda issuer: issuer.replace("/realms", "//realms"),
    "scheme in capitals": lambda issuer: issuer.replace("http:", "HTTP:"),
    "other scheme": lambda issuer: issuer.replace("http:", "https:"),
    "no scheme": lambda issuer: issuer.removeprefix("http:"),
    "realm in capitals": lambda issuer: issuer.replace("acme", "ACME"),
    "path in capitals": lambda issuer: issuer.replace("realms", "Realms"),
    "host by name": lambda issuer: issuer.replace("127.0.0.1", "localhost"),
    "host in another spelling": lambda issuer: issuer.replace("127.0.0.1", "127.1"),
    "dot after the host": lambda issuer: issuer.replace("127.0.0.1", "127.0.0.1."),
    "port with a zero": lambda issuer: issuer.replace("127.0.0.1:", "127.0.0.1:0"),
    "without the port": lambda issuer: "http://127.0.0.1/realms/acme",
    "user information": lambda issuer: issuer.replace("//", "//good@"),
    "issuer as user information": lambda issuer: issuer.replace("/realms", "@evil.example/realms"),
    "query": lambda issuer: issuer + "?",
    "query with the realm": lambda issuer: issuer.replace("/acme", "/evil?/acme"),
    "fragment": lambda issuer: issuer + "#",
    "dot segment": lambda issuer: issuer.replace("/acme", "/./acme"),
    "dot dot segment": lambda issuer: issuer.replace("/acme", "/globex/../acme"),
    "percent-encoded letter": lambda issuer: issuer.replace("/acme", "/%61cme"),
    "percent-encoded slash": lambda issuer: issuer.replace("/acme", "%2facme"),
    "Cyrillic letter": lambda issuer: issuer.replace("/acme", "/\u0430cme"),
    "full-width letter": lambda issuer: issuer.replace("/acme", "/\uff41cme"),
    "combining mark": lambda issuer: issuer + "\u0301",
    "zero-width space": lambda issuer: issuer + "\u200b",
    "NUL": lambda issuer: issuer + "\0",
    "space before": lambda issuer: " " + issuer,
    "space after": lambda issuer: issuer + " ",
    "line feed after": lambda issuer: issuer + "\n",
    "prefix": lambda issuer: issuer[:-1],
    "longer": lambda issuer: issuer + "2",
    "path below it": lambda issuer: issuer + "/protocol/openid-connect",
    "backslash": lambda issuer: issuer.replace("/acme", "\\acme"),
    "evil host that ends like it": lambda issuer: "http://evil.example/" + issuer,
    "two in one text": lambda issuer: f"{issuer} {issuer}",
}


def _twin(name: str, spell: Callable[[str], str]) -> Hostile:
    def make(mint: Mint) -> str:
        issuer = spell(mint.issuer())
        assert issuer != mint.issuer(), name
        return mint.token(claims={"iss": issuer})

    return Hostile("E1", name, make, "unknown_issuer")


def _crossed(key: str, kid: str, issuer: str) -> Callable[[Mint], str]:
    """Signed by the key of one realm, under the kid of a second, for the issuer of a third."""
    return lambda mint: mint.token(
        issuer, header={"kid": mint.key(kid).kid}, sign=mint.signer(key), claims={"iss": mint.issuer(issuer)}
    )


_E1 = tuple(_twin(name, spell) for name, spell in _TWINS.items())
_E5 = (
    Hostile("E5", "globex's key and kid, issuer acme", _crossed("globex", "globex", "acme"), "unknown_key"),
    Hostile("E5", "globex's key under acme's kid, issuer acme", _crossed("globex", "acme", "acme"), "bad_signature"),
    Hostile("E5", "acme's key under globex's kid, issuer acme", _crossed("acme", "globex", "acme"), "unknown_key"),
    Hostile("E5", "acme's key and kid, issuer globex", _crossed("acme", "acme", "globex"), "unknown_key"),
    Hostile("E5", "key of a realm that is not registered", _crossed("elsewhere", "acme", "acme"), "bad_signature"),
    Hostile("E5", "realm that is not registered", _crossed("elsewhere", "elsewhere", "elsewhere"), "unknown_issuer"),
)
CASES = (*_E1, *_E5)
