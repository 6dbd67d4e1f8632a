"""A new kind of token is a new file, and no cached answer stands for a check that belongs to the request."""

from __future__ import annotations

import asyncio

import pytest

from tenants_api.clocks import Clocks
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.cache import VerifiedTokens
from tenants_api.tokens.claims import ClaimPolicy
from tenants_api.tokens.credentials import BEARER, Credential
from tenants_api.tokens.errors import InvalidToken, MalformedCredentials, MissingToken, Refusal, TokenError
from tenants_api.tokens.principal import Principal
from tenants_api.tokens.verifier import TokenVerifier
from tests.support.verifying import Stage, settle
from tests.tokens.kinds import SECONDS, Bound, Opaque

URL = "https://api.example/v1/me"


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str | None]] = []

    def accepted(self, found: Authenticated, *, seconds: float) -> None:
        self.outcomes.append(("accepted", None))

    def refused(self, error: TokenError, *, seconds: float) -> None:
        assert error.refusal is not None
        self.outcomes.append((error.refusal.reason, error.refusal.tenant_slug))

    def malformed(self, refusal: Refusal) -> None:
        self.outcomes.append((refusal.reason, refusal.found))


class World:
    """The stage of the verifier with both kinds beside the signed tokens, and a cache round all of them."""

    def __init__(self, *, any_path: bool = True) -> None:
        self.stage, self.told = Stage(), Told()
        clock = self.stage.clock
        clocks = Clocks(wall=lambda: clock.now, monotonic=lambda: clock.steady)
        realm = self.stage.snapshot.find(self.stage.issuer("acme"))
        assert realm is not None
        policy = ClaimPolicy(types=frozenset({"dpop"}), confirmations=frozenset({"key"}))
        self.bound = Bound(self.stage.signed_tokens(policy, clocks=clocks))
        self.opaque = Opaque(realm, clock.now, any_path=any_path)
        self.cache = VerifiedTokens(100, clocks=clocks)
        self.verifier = TokenVerifier(
            self.stage.signed, others=[self.bound, self.opaque], cache=self.cache, reporter=self.told
        )

    async def knows(self, token: bytes) -> Principal:
        """Let the opaque kind know a token of acme's."""
        principal = await self.stage.verifier.verify(Credential.bearer(self.stage.token()))
        return self.opaque.answers.setdefault(token, principal)

    def bound_token(self, **changes: object) -> str:
        return self.stage.token(**{"typ": "DPoP", "cnf": {"key": "k1"}, **changes})

    async def request(self, authorization: str, *proofs: str, method: str = "GET") -> str:
        """The tenant, or the reason of the refusal, of a request with these headers."""
        headers = [(b"authorization", authorization.encode()), *((b"dpop", proof.encode()) for proof in proofs)]
        credential = self.verifier.credential_of(headers, method=method, url=URL)
        try:
            return (await self.verifier.verify(credential)).tenant.slug
        except TokenError as error:
            return error.refusal.reason if error.refusal is not None else ""


async def test_new_kind_stands_beside_the_signed_tokens() -> None:
    world = World()
    principal = await world.knows(b"opaque-1")
    assert await world.verifier.verify(Credential.bearer("opaque-1")) is principal
    assert await world.request("Bearer opaque-2") == "inactive"
    assert await world.request(f"Bearer {world.stage.token()}") == "acme"
    assert await world.request(f"Bearer {world.stage.token(aud='account')}") == "wrong_audience"
    with pytest.raises(MissingToken):
        await world.verifier.verify(Credential("Other", b"opaque-1"))


async def test_scheme_of_a_kind_is_read_as_strictly_as_any_other() -> None:
    world = World()
    for value, found in (
        (b"Proof", "no token after `Proof` and a space"),
        (b"proof\ta", "no token after `Proof` and a space"),
        (b"Proof a b", "white space or a comma in the token"),
        (b"Proof a,b", "white space or a comma in the token"),
    ):
        with pytest.raises(MalformedCredentials):
            world.verifier.credential_of([(b"authorization", value)])
        assert world.told.outcomes[-1] == ("malformed_credentials", found)
    for value in (b"Proofs a", b"Other a b", b"", b"Pro a"):
        with pytest.raises(MissingToken):
            world.verifier.credential_of([(b"authorization", value)])


async def test_kind_alone_says_how_long_its_answer_is_used() -> None:
    world = World()
    await world.knows(b"opaque-1")
    for seconds, asked in ((0, 1), (SECONDS - 1, 1), (1, 2)):
        world.stage.clock.pass_time(seconds)
        assert await world.request("Bearer opaque-1") == "acme"
        assert world.opaque.asked == asked


async def test_answer_that_depends_on_the_path_is_used_for_paths_of_its_own_tenant_alone() -> None:
    world = World(any_path=False)
    await world.knows(b"opaque-1")
    credential = Credential.bearer("opaque-1")
    for asked, tenant in enumerate((None, None, "globex", "globex", "acme"), start=1):
        await world.verifier.verify(credential, tenant=tenant)
        assert world.opaque.asked == asked
    await world.verifier.verify(credential, tenant="acme")
    assert world.opaque.asked == 5


async def test_bound_token_is_accepted_with_a_proof_of_this_very_request() -> None:
    world = World()
    token = world.bound_token()
    assert await world.request(f"Proof {token}", f"k1 GET {URL}") == "acme"
    assert await world.request(f"proof  {token}", f"k1 POST {URL}", method="POST") == "acme"
    assert world.bound.verified == 1, "the token is known, its proof never is"


async def test_known_bound_token_is_checked_at_every_request() -> None:
    world = World()
    token, good = world.bound_token(), f"k1 GET {URL}"
    assert await world.request(f"Proof {token}", good) == "acme"
    for proofs in ((), (f"k2 GET {URL}",), (f"k1 POST {URL}",), (good, good)):
        assert await world.request(f"Proof {token}", *proofs) == "proof_missing", proofs
        assert world.told.outcomes[-1] == ("proof_missing", "acme")
    assert (await world.request(f"Proof {token}", good), world.bound.verified) == ("acme", 1)


async def test_known_bound_token_that_comes_as_bearer_is_checked_like_any_other() -> None:
    """As certificate-bound tokens do (RFC 8705 section 3)."""
    world = World()
    bound = Bound(world.bound.signed, schemes=(BEARER,))
    verifier = TokenVerifier(world.stage.signed, others=[bound], cache=world.cache)
    token = world.bound_token().encode()
    credential = Credential(BEARER, token, "GET", URL, (f"k1 GET {URL}".encode(),))
    assert (await verifier.verify(credential)).tenant.slug == "acme"
    assert len(world.cache) == 1
    with pytest.raises(InvalidToken):
        await verifier.verify(credential._replace(proofs=()))


async def test_bound_token_whose_first_proof_is_wrong_is_not_kept() -> None:
    world = World()
    assert await world.request(f"Proof {world.bound_token()}") == "proof_missing"
    assert len(world.cache) == 0


async def test_known_token_is_not_known_under_another_scheme() -> None:
    world = World()
    bound, bearer = world.bound_token(), world.stage.token()
    assert await world.request(f"Proof {bound}", f"k1 GET {URL}") == "acme"
    assert await world.request(f"Bearer {bearer}") == "acme"
    assert await world.request(f"Bearer {bound}") == "not_an_access_token"
    assert await world.request(f"Proof {bearer}") == "not_an_access_token"
    bearer_typed = world.bound_token(typ="Bearer")
    assert await world.request(f"Bearer {bearer_typed}") == "sender_constrained"


async def test_known_bound_token_falls_with_its_realm() -> None:
    world = World()
    token, good = world.bound_token(), f"k1 GET {URL}"
    assert await world.request(f"Proof {token}", good) == "acme"
    world.stage.add("acme", suspended=True)
    assert await world.request(f"Proof {token}", good) == "tenant_suspended"


async def test_bound_token_that_its_kind_does_not_check_is_refused() -> None:
    """Whatever kind it is of, and also where that one forgot it."""

    class Forgetful(Opaque):
        async def authenticate(self, token: bytes, *, tenant: str | None, max_wait: float) -> object:
            found = await super().authenticate(token, tenant=tenant, max_wait=max_wait)
            return found._replace(confirmation={"jkt": "x"}) if found is not None else None

    world = World()
    await world.knows(b"opaque-1")
    forgetful = Forgetful(world.opaque.realm, world.opaque.now, answers=world.opaque.answers)
    verifier = TokenVerifier(world.stage.signed, others=[forgetful], cache=world.cache)
    with pytest.raises(InvalidToken) as refused:
        await verifier.verify(Credential.bearer("opaque-1"))
    assert refused.value.refusal is not None
    assert (refused.value.refusal.reason, refused.value.refusal.tenant_slug) == ("sender_constrained", "acme")
    assert len(world.cache) == 0


async def test_suspension_that_meets_a_kind_which_waits_decides() -> None:
    world = World()
    await world.knows(b"opaque-1")
    world.opaque.gate = asyncio.Event()
    waiting = asyncio.create_task(world.request("Bearer opaque-1"))
    await settle()
    world.opaque.realm = world.stage.add("acme", suspended=True)
    world.opaque.gate.set()
    assert (await waiting, world.opaque.asked) == ("inactive", 2)


async def test_expired_bound_token_is_told_no_more_than_any_other() -> None:
    """Only a token that is good in all else is told that it expired."""
    stage = Stage()
    expired = {"iat": stage.clock.now - 7200, "exp": stage.clock.now - 3600}
    assert await stage.outcome(stage.token(cnf={"jkt": "x"}, **expired)) == "invalid_token:sender_constrained"


async def test_only_confirmations_that_are_checked_are_let_through() -> None:
    world = World()
    for confirmation in ({}, None, [], "key", {"key": "k1", "jkt": "x"}, {"jkt": "x"}):
        outcome = await world.request(f"Proof {world.bound_token(cnf=confirmation)}", f"k1 GET {URL}")
        assert outcome == "sender_constrained", confirmation


def test_credential_shows_no_token() -> None:
    credential = Credential("Proof", b"secret-token", "GET", URL, (b"secret-proof",))
    for text in (str(credential), repr(credential), f"{credential}", str([credential])):
        assert "secret" not in text
