"""Any order of onboarding, suspending, rotating, withdrawing, removing, against a model: promises 1, 3 and 5.

Two replicas on one database and real development realms; `there` learns of a change by looking at the registry
version, as its change feed does. Both clocks leap together before each look at a token, so that nothing waits.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tenants_api.clocks import Clocks
from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.devkit.realms.keys import SigningKeys, generate_rsa
from tenants_api.registry.values import Transition
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import TokenError
from tests.support.realms import CHANGE, dev_realms, services_for, settings_for, tenant_draft
from tests.support.tokens import b64, claims_for, signature_of

NAMES = ("acme", "globex", "initech")
_MADE: list[RSAPrivateKey] = []
LEAP = 3.0  # seconds: longer than any pause between two looks for an unknown kid
LIFETIME = 80_000  # seconds of a token: more than the leaps of all steps
KEPT_TOKENS = 8  # for each realm: every one is tried again after each change


@dataclass
class Minted:
    """A token and the kid and realm that it is really from."""

    raw: str
    realm: str
    kid: str


@dataclass
class Model:
    """What must be true. `state` is that of the tenant that owns the realm; absent: not registered."""

    state: dict[str, str] = field(default_factory=dict)
    slugs: dict[str, str] = field(default_factory=dict)
    listed: dict[str, set[str]] = field(default_factory=dict)
    tokens: list[Minted] = field(default_factory=list)

    def expected(self, token: Minted) -> str:
        state = self.state.get(token.realm)
        if state is None or state == "deleted":
            return "unknown_issuer"
        if token.kid not in self.listed[token.realm]:
            return "unknown_key"
        return "tenant_suspended" if state == "suspended" else f"accepted:{self.slugs[token.realm]}"


class RegistryMachine(RuleBasedStateMachine):
    """Steps that change the world, and the invariants that hold after every one of them."""

    verified = 0  # tokens that the invariant looked at
    realms: DevRealmServer  # given by who runs it: starting a server for every example would be all that it does

    @initialize()
    def open(self) -> None:
        self.model, self.serial, self.leap = Model(), itertools.count(), 0.0
        made = _different_keys()
        for name in NAMES:
            self.realms.realm(name).keys = SigningKeys(subject=name, make_rsa=made.__next__)
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="machine-")
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.stack = AsyncExitStack()
        clocks = Clocks(wall=lambda: time.time() + self.leap, monotonic=lambda: time.monotonic() + self.leap)
        settings = settings_for(self.realms, Path(self.folder.name))
        self.here, self.there = [
            await self.stack.enter_async_context(services_for(settings, background=False, clocks=clocks)) for _ in "ab"
        ]
        for name in NAMES:
            self._mint(name)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()

    def _mint(self, name: str) -> None:
        realm = self.realms.realm(name)
        self.model.listed[name] = {key.kid for key in realm.keys.listed} | {realm.keys.kid}
        lasting = realm.mint(claims={"exp": int(time.time()) + LIFETIME})
        self.model.tokens.append(Minted(lasting, name, realm.keys.kid))
        own = [token for token in self.model.tokens if token.realm == name]
        if len(own) > KEPT_TOKENS:
            self.model.tokens.remove(own[0])

    @rule(name=st.sampled_from(NAMES))
    def onboard(self, name: str) -> None:
        if self.model.state.get(name) is None:
            slug = f"{name}-{next(self.serial)}"
            draft = tenant_draft(self.here, self.realms, name)
            draft = type(draft)(slug=slug, name=slug, realms=draft.realms)
            self.runner.run(self.here.commands.create(draft, activate="now", change=CHANGE))
            self.model.state[name], self.model.slugs[name] = "active", slug
            self.runner.run(self.there.replica.refresh())

    @rule(name=st.sampled_from(NAMES), transition=st.sampled_from(list(Transition)))
    def move(self, name: str, transition: Transition) -> None:
        allowed = {
            ("active", Transition.SUSPEND): "suspended",
            ("suspended", Transition.RESUME): "active",
            ("active", Transition.DELETE): "deleted",
            ("suspended", Transition.DELETE): "deleted",
        }
        after = allowed.get((self.model.state.get(name, ""), transition))
        if after is not None:
            self.runner.run(self._move(name, transition))
            self.model.state[name] = after

    async def _move(self, name: str, transition: Transition) -> None:
        async with self.here.database.begin() as session:
            await service.move(session, ref=self.model.slugs[name], transition=transition, change=CHANGE)
        await self._follow()

    @rule(name=st.sampled_from(NAMES))
    def purge(self, name: str) -> None:
        """The tenant is erased; its issuer is free for another one."""
        if self.model.state.get(name) == "deleted":
            self.runner.run(self._purge(name))
            del self.model.state[name]

    async def _purge(self, name: str) -> None:
        async with self.here.database.begin() as session:
            await service.purge_tenant(session, ref=self.model.slugs[name], change=CHANGE)
        await self._follow()

    async def _follow(self) -> None:
        for services in (self.here, self.there):
            await services.replica.refresh()

    @rule(name=st.sampled_from(NAMES), keep_old=st.booleans())
    def rotate(self, name: str, keep_old: bool) -> None:
        self.realms.realm(name).rotate(keep_old=keep_old)
        self._mint(name)
        self.runner.run(self._fetch_keys(name))

    @rule(name=st.sampled_from(NAMES))
    def withdraw_the_oldest(self, name: str) -> None:
        realm = self.realms.realm(name)
        if len(realm.keys.listed) > 1:
            realm.withdraw(realm.keys.listed[-1].kid)
            self.model.listed[name] = {key.kid for key in realm.keys.listed}
            self.runner.run(self._fetch_keys(name))

    async def _fetch_keys(self, name: str) -> None:
        """As `keys refresh`, or the end of the keys' lifetime, would."""
        for services in (self.here, self.there):
            trusted = services.replica.find(self.realms.realm(name).issuer)
            if trusted is not None:
                await services.replica.jwks_cache.of(trusted).refresh()

    @rule(name=st.sampled_from(NAMES))
    def log_in(self, name: str) -> None:
        self._mint(name)

    @rule(
        victim=st.sampled_from(NAMES),
        attacker=st.sampled_from(NAMES),
        kid_of=st.sampled_from(NAMES),
        hints=st.booleans(),
    )
    def forge(self, victim: str, attacker: str, kid_of: str, hints: bool) -> None:
        """Promises 1 and 3: another realm's key, under any kid, with any hint, never speaks for this issuer."""
        if attacker == victim:
            return
        key = self.realms.realm(attacker).keys.signing()
        hint = dict.fromkeys(("tenant", "organization", "azp"), self.model.slugs.get(victim, victim)) if hints else {}
        claims = claims_for(self.realms.realm(victim).issuer, now=time.time(), **hint)
        head = {"alg": "RS256", "kid": self.realms.realm(kid_of).keys.kid}
        text = f"{b64(_json(head))}.{b64(_json(claims))}"
        raw = f"{text}.{b64(signature_of(text.encode(), algorithm='RS256', private=key.private))}"
        for services in (self.here, self.there):
            self.leap += LEAP
            found = self.runner.run(outcome(services, raw))
            assert found in ("unknown_issuer", "unknown_key", "bad_signature"), found

    @invariant()
    @precondition(lambda self: hasattr(self, "model"))
    def every_token_has_the_outcome_of_its_realm(self) -> None:
        """Promise 5 too: tokens that were accepted before, and are cached, are among these."""
        for services in (self.here, self.there):
            for token in self.model.tokens:
                self.leap += LEAP
                found = self.runner.run(outcome(services, token.raw))
                self.verified += 1
                assert found == self.model.expected(token), (token.realm, found, self.model.expected(token))


def _different_keys() -> Iterator[RSAPrivateKey]:
    """No key twice, for a set that lists one twice has neither; the next order of changes may have them again."""
    for number in itertools.count():
        if number == len(_MADE):
            _MADE.append(generate_rsa())
        yield _MADE[number]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


async def outcome(services: Services, raw: str) -> str:
    """`accepted:<slug>`, or the reason of the refusal."""
    try:
        principal = await services.verifier.verify(Credential.bearer(raw))
    except TokenError as error:
        return error.refusal.reason if error.refusal else error.code
    return f"accepted:{principal.tenant.slug}"


def serving_realms() -> Iterator[DevRealmServer]:
    """The realms that every example of a run shares."""
    with dev_realms(*NAMES) as server:
        yield server
