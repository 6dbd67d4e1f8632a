"""The onboarding checks of a realm, in order. Each has a stable reason; a failed one also both values and a hint.

After a failure the later checks are skipped: `Unknown`, reason `NotReached`. This module stores nothing.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from tenants_api.clocks import Clocks
from tenants_api.jwks.cache import JwksCache
from tenants_api.jwks.parse import BrokenKeySet, KeySet, parse_key_set
from tenants_api.jwks.realm_keys import Fetched, KeyOwner, KeyPolicy, SourceFailed, UsableKeys
from tenants_api.keycloak.realm import RealmStatus, fetch_issuer, fetch_jwks, fetch_status
from tenants_api.observability.logging import redacted
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.outbound.urls import parse_issuer, parse_realm_url
from tenants_api.registry.values import ConditionValue, RealmDraft
from tenants_api.replica.register import trusted_realm
from tenants_api.tokens.claims import ClaimPolicy
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.decode import decode_unverified
from tenants_api.tokens.errors import Refusal, TokenError
from tenants_api.tokens.principal import TenantRef
from tenants_api.tokens.realms import Snapshot
from tenants_api.tokens.signed import SignedTokens

MAX_CLAIM_CHARACTERS = 255  # characters of a claim in a message
_NO_TENANT = TenantRef(uuid.UUID(int=0), "", "")


class _NoSource:
    """A key source that fetches nothing: a sample token is checked with keys that were fetched before."""

    async def fetch(self, realm: KeyOwner) -> Fetched:
        raise SourceFailed("NotFetched", message="a sample token is checked with the keys that the check has fetched")


class SampleToken:
    """A token that an admin sends for the checks; never stored and never logged."""

    def __init__(self, raw: str, *, roles: Iterable[str], policy: ClaimPolicy, clocks: Clocks) -> None:
        self._token, self._roles, self._policy, self._clocks = (
            Credential.bearer(raw).token,
            frozenset(roles),
            policy,
            clocks,
        )

    def audience(self) -> tuple[str, ...]:
        """The values of `aud`, unverified; empty when the text is not a token."""
        claim = self._claims().get("aud")
        listed = [claim] if isinstance(claim, str) else claim
        return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()

    def issuer(self) -> str | None:
        """The value of `iss`, unverified."""
        claim = self._claims().get("iss")
        return claim if isinstance(claim, str) else None

    def authorized_party(self) -> str:
        """The value of `azp`, unverified, for a message."""
        claim = self._claims().get("azp")
        return redacted(claim, limit=MAX_CLAIM_CHARACTERS) if isinstance(claim, str) else "(none)"

    async def refusal(self, draft: RealmDraft, *, fetched: UsableKeys) -> Refusal | None:
        """The verifier's refusal of the token for this realm; None when it would accept it."""
        snapshot = Snapshot()
        snapshot.put(trusted_realm(draft, realm_id=uuid.UUID(int=0), tenant=_NO_TENANT))
        jwks_cache = JwksCache(
            source=_NoSource(),
            policy=KeyPolicy(),
            clocks=self._clocks,
            on_new=lambda realm_keys: realm_keys.adopt(fetched, age=0.0),
            on_event=lambda realm_keys, event: None,
        )
        signed = SignedTokens(
            lookup=snapshot, jwks_cache=jwks_cache, roles=self._roles, policy=self._policy, clocks=self._clocks
        )
        try:
            await signed.authenticate(self._token)
        except TokenError as error:
            return error.refusal or Refusal("format", error.code)
        return None

    def _claims(self) -> dict[str, Any]:
        try:
            return decode_unverified(self._token, max_bytes=self._policy.max_token_bytes).claims
        except TokenError:
            return {}


MAX_MESSAGE_CHARACTERS = 2000  # of a condition: an issuer and a realm URL fit, longer texts of a realm are cut
RSA_ALGORITHM_COUNT = 6
MAX_KID_CHARACTERS = 64  # of a kid in a message
# Conditions that may be False while the realm is ready.
WARNINGS = frozenset({"AlgorithmsCovered"})
log = structlog.get_logger("tenants_api.control")


@dataclass(frozen=True, slots=True)
class Report:
    """The conditions in order. `fetched` are the realm's keys and status, when its keys can be used.

    `asked_at` is the time before the first request: a key that the realm withdraws later may still be in `fetched`.
    """

    asked_at: datetime
    conditions: tuple[ConditionValue, ...]
    ready: bool
    suggested_issuer: str | None = None
    fetched: UsableKeys | None = None


class CheckFailed(Exception):
    """A check failed, with a stable reason and a message that has both values and a hint."""

    def __init__(self, reason: str, *, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)


# The message of `SharedIssuer`, by whether the checked realm is registered for an organization.
_SHARED_BY = {
    False: "organizations are, or were, registered on this issuer: a token that names an organization belongs to that "
    "organization's tenant or is refused, and a token that names none belongs to this tenant; have every client of an "
    "organization request the scope `organization`",
    True: "another tenant has registered this issuer without an organization: a token that names no organization "
    "belongs to that tenant; have every client of this organization request the scope `organization`",
}
Passed = tuple[str, str, str]  # status ("True" or "Unknown"), reason, message


@dataclass(slots=True)
class _Run:
    """The checks of one realm, and their results so far."""

    client: RealmClient
    policy: TargetPolicy
    draft: RealmDraft
    sample: SampleToken | None
    issuer_taken: bool
    shared: bool
    stated_issuer: str = ""
    status: RealmStatus | None = None
    jwks: bytes = b""
    keys: KeySet | None = None
    suggested_issuer: str | None = field(default=None)

    async def issuer_valid(self) -> Passed:
        parsed = parse_issuer(self.draft.issuer, policy=self.policy)
        realm_url = parse_realm_url(self.draft.realm_url, policy=self.policy)
        self.draft = replace(self.draft, issuer=parsed.issuer, realm_url=realm_url)
        if self.issuer_taken:
            message = f"the issuer {self.draft.issuer!r} is already registered; remove it from its tenant first"
            raise CheckFailed("IssuerTaken", message=message)
        if parsed.note is not None:
            return "True", "WellKnownStripped", parsed.note
        if self.shared:
            return "True", "SharedIssuer", _SHARED_BY[self.draft.organization is not None]
        return "True", "Valid", f"{parsed.issuer!r} is a well-formed issuer"

    async def realm_reachable(self) -> Passed:
        url, ca_bundle = self.draft.realm_url, self.draft.ca_bundle
        self.stated_issuer = await fetch_issuer(self.client, url, ca_bundle=ca_bundle)
        return "True", "Reachable", f"the discovery document was read at {url}"

    async def realm_enabled(self) -> Passed:
        self.status = await fetch_status(self.client, self.draft.realm_url, ca_bundle=self.draft.ca_bundle)
        if not self.status.enabled:
            message = (
                f"the realm at {self.draft.realm_url} answers, but it is disabled in Keycloak (expected: enabled); "
                "switch it on under Realm settings → Enabled"
            )
            raise CheckFailed("RealmDisabled", message=message)
        return "True", "Enabled", "the realm is enabled"

    async def issuer_matches(self) -> Passed:
        published = self.stated_issuer
        if published == self.draft.issuer:
            return "True", "Matches", f"the discovery document has the issuer {published!r}"
        found = f"configured issuer {self.draft.issuer!r}, but the realm's discovery document has {published!r}"
        sampled = self.sample.issuer() if self.sample is not None else None
        if self.draft.issuer_check == "sample" and sampled in (None, self.draft.issuer):
            status = "Unknown" if sampled is None else "True"
            compared = "no sample token was given" if sampled is None else "the sample token has the configured issuer"
            message = f"{found}; accepted because the realm's issuer_check is 'sample', and {compared}"
            return status, "AcceptedByIssuerCheck", message
        if sampled == self.draft.issuer:
            hint = (
                "the sample token has the configured issuer, so Keycloak states the URL at which it is reached: set "
                "KC_HOSTNAME to the public URL, or accept the difference with issuer_check 'sample' on the realm"
            )
            raise CheckFailed("IssuerMismatch", message=f"{found}; {hint}")
        raise CheckFailed("IssuerMismatch", message=f"{found}; {self._suggestion(published)}")

    def _suggestion(self, published: str) -> str:
        """Suggest the discovery document's issuer if it can be registered."""
        try:
            parse_issuer(published, policy=self.policy)
        except RealmFault as fault:
            return f"that issuer cannot be registered ({fault.message}): correct Keycloak's hostname"
        self.suggested_issuer = published
        return (
            "issuers are compared byte for byte, scheme, port and trailing slash included: register the suggested "
            "issuer, or correct Keycloak's hostname (or the realm's frontend URL)"
        )

    async def keys_fetched(self) -> Passed:
        self.jwks = await fetch_jwks(self.client, self.draft.realm_url, ca_bundle=self.draft.ca_bundle)
        return "True", "Fetched", f"the key set was read ({len(self.jwks)} bytes)"

    async def signing_keys_usable(self) -> Passed:
        registered = self._algorithms()
        hint = f"add a key provider for one of {registered} under Realm settings → Keys, or register another algorithm"
        try:
            keys = parse_key_set(self.jwks)
        except BrokenKeySet as broken:
            if broken.reason == "TooManyKeys":
                message = f"{broken}: delete retired keys under Realm settings → Keys → Providers"
                raise CheckFailed(broken.reason, message=message) from broken
            listed = "; ".join(f"{_kid(key.kid)}: {key.reason}" for key in broken.skipped[:8]) or "the set is empty"
            raise CheckFailed(broken.reason, message=f"{broken} ({listed}); expected {registered}: {hint}") from broken
        matching = [key.kid for key in keys.keys.values() if key.algorithms & set(self.draft.algorithms)]
        if not matching:
            offered = ", ".join(sorted({name for key in keys.keys.values() for name in key.algorithms}))
            message = f"the realm signs with {offered}, but {registered} is registered: {hint}"
            raise CheckFailed("NoUsableSigningKeys", message=message)
        self.keys = keys
        return "True", "Usable", f"{len(matching)} key(s) for {registered}: {', '.join(map(_kid, matching[:4]))}"

    async def algorithms_covered(self) -> Passed:
        registered = set(self.draft.algorithms)
        offered: set[str] = set()
        for key in self.keys.keys.values() if self.keys is not None else ():
            named = len(key.algorithms) < RSA_ALGORITHM_COUNT  # an RSA key without `alg` fits them all: one is enough
            offered |= key.algorithms if named or not key.algorithms & registered else set()
        missing = sorted(offered - registered)
        if not missing:
            return (
                "True",
                "Covered",
                f"all algorithms of the realm's keys are registered: {self._algorithms()}",
            )
        message = (
            f"the realm has keys for {', '.join(missing)}, registered is {self._algorithms()}: tokens signed with "
            f"{' or '.join(missing)} are refused (algorithm_refused); register it under algorithms, or remove its "
            "key provider under Realm settings → Keys"
        )
        return "False", "AlgorithmNotRegistered", message

    def _algorithms(self) -> str:
        return ", ".join(self.draft.algorithms)

    async def audience_configured(self) -> Passed:
        expected = ", ".join(self.draft.audiences)
        if self.sample is None:
            message = (
                f"unknown without a sample token: tokens must name one of {expected} in aud; in Keycloak add an "
                f"audience mapper for {self.draft.client_id} to the client that gets the tokens"
            )
            return "Unknown", "NoSampleToken", message
        found, party = self.sample.audience(), self.sample.authorized_party()
        if not set(found) & set(self.draft.audiences):
            message = (
                f"the token's aud is {list(found)}, expected one of {expected}: add an audience mapper for "
                f"{self.draft.client_id} to client {party}"
            )
            raise CheckFailed("AudienceMissing", message=message)
        return "True", "Configured", f"the sample token names {expected}"

    async def sample_token_verified(self) -> Passed:
        if self.sample is None:
            return "Unknown", "NoSampleToken", "no sample token was given"
        fetched = self.fetched()
        refusal = await self.sample.refusal(self.draft, fetched=fetched) if fetched is not None else None
        if refusal is not None:
            message = (
                f"the sample token is refused at {refusal.step}: expected {refusal.expected}, found {refusal.found}"
            )
            if refusal.reason == "algorithm_refused":
                message += (
                    f": register {refusal.found} under algorithms, or have the client's tokens signed with another"
                )
            raise CheckFailed(refusal.reason, message=message)
        return "True", "Verified", "the sample token would be accepted"

    def fetched(self) -> UsableKeys | None:
        """The realm's keys and status, once a check found the keys usable."""
        if self.keys is None or self.status is None:
            return None
        return UsableKeys(self.keys, self.status.not_before, self.status.enabled)


async def check_realm(
    draft: RealmDraft,
    *,
    client: RealmClient,
    policy: TargetPolicy,
    clocks: Clocks,
    sample: SampleToken | None = None,
    issuer_taken: bool = False,
    shared: bool = False,
) -> Report:
    """Run the checks of one realm; a failed check is reported, not raised.

    `shared`: the issuer is registered both without and with organizations, which the report warns about.
    """
    asked_at, run = clocks.now(), _Run(client, policy, draft, sample, issuer_taken, shared)
    steps: list[tuple[str, Callable[[], Awaitable[Passed]]]] = [
        ("IssuerValid", run.issuer_valid),
        ("RealmReachable", run.realm_reachable),
        ("RealmEnabled", run.realm_enabled),
        ("IssuerMatches", run.issuer_matches),
        ("KeysFetched", run.keys_fetched),
        ("SigningKeysUsable", run.signing_keys_usable),
        ("AlgorithmsCovered", run.algorithms_covered),
        ("AudienceConfigured", run.audience_configured),
    ]
    if sample is not None:
        steps.append(("SampleTokenVerified", run.sample_token_verified))
    conditions: list[ConditionValue] = []
    failed: ConditionValue | None = None
    for name, step in steps:
        condition = _not_reached(name, failed) if failed is not None else await _outcome(name, step)
        failed = failed or (condition if condition.status == "False" and name not in WARNINGS else None)
        conditions.append(condition)
    conditions.append(_ready(failed))
    return Report(asked_at, tuple(conditions), failed is None, run.suggested_issuer, run.fetched())


async def _outcome(name: str, step: Callable[[], Awaitable[Passed]]) -> ConditionValue:
    try:
        status, reason, message = await step()
    except (CheckFailed, RealmFault) as failure:
        status, reason, message = "False", failure.reason, failure.message
    except Exception as error:
        # A defect of this program: the change is committed, and other realms are checked concurrently.
        # As text: the application's own formatter might print local variables, which hold a token.
        log.error("realm_check_broke", check=name, error=type(error).__name__, exception=traceback.format_exc())
        status, reason = "False", "Unexpected"
        message = f"the check raised {type(error).__name__}: a defect of this program; report it with its log"
    # Messages hold texts of the realm: `redacted` bounds them and replaces control characters and lone surrogates.
    return ConditionValue(name, status, reason, redacted(message, limit=MAX_MESSAGE_CHARACTERS))


def _kid(kid: str | None) -> str:
    return redacted(kid, limit=MAX_KID_CHARACTERS) if kid is not None else "(no kid)"


def _not_reached(name: str, failed: ConditionValue) -> ConditionValue:
    return ConditionValue(name, "Unknown", "NotReached", f"skipped because {failed.type} failed")


def _ready(failed: ConditionValue | None) -> ConditionValue:
    if failed is None:
        return ConditionValue("Ready", "True", "Ready", "tokens of this realm can be verified")
    message = redacted(f"{failed.type}: {failed.message}", limit=MAX_MESSAGE_CHARACTERS)
    return ConditionValue("Ready", "False", failed.reason, message)
