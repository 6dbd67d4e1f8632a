"""One application with both its faces: the verifier as a function, and uvicorn on a port that raw bytes are sent to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from tenants_api.composition import Services
from tenants_api.server.http_limits import BoundedHttp
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import TokenError
from tests.attacks.battery.cases import ACCEPTED, Hostile, Mint
from tests.support.stack import ApiClient

REQUEST_ID = "same-for-all"
CHALLENGE = 'Bearer realm="tenants-api"'
CHALLENGES = {
    "missing_token": CHALLENGE,
    "invalid_request": f'{CHALLENGE}, error="invalid_request"',
    "invalid_token": f'{CHALLENGE}, error="invalid_token", error_description="The access token is not accepted"',
    "token_expired": f'{CHALLENGE}, error="invalid_token", error_description="The access token expired"',
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the socket, as it was sent. Header names are in lower case; status 0 = hung up."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value; ValueError when the header was sent twice."""
        found = [value for key, value in self.headers if key == name]
        if len(found) > 1:
            raise ValueError(f"{name} was sent {len(found)} times")
        return found[0] if found else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def shown(self) -> tuple[int, str]:
        """Status and code; no code for what is not a problem document."""
        problem = self.header("content-type") == "application/problem+json"
        return self.status, self.json["code"] if problem else ""

    @property
    def face(self) -> tuple[Any, ...]:
        """All that a caller could tell two refusals apart by."""
        return self.status, tuple(pair for pair in self.headers if pair[0] != "date"), self.body


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a token met: status and code for the caller, the reason for the operator (empty if accepted)."""

    status: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arena:
    """Realms `acme` and `globex` sign RS256, `curves` with four algorithms. `address` is the server's."""

    client: ApiClient
    address: tuple[str, int]

    @property
    def services(self) -> Services:
        services: Services = self.client.app.state.services
        return services

    @property
    def mint(self) -> Mint:
        return Mint(self.client.server)

    @property
    def outbound(self) -> Counter[str]:
        """Requests that reached any realm so far."""
        return sum((realm.requests for realm in self.client.server.realms.values()), Counter())

    async def send(self, request: bytes) -> Answer:
        """These bytes on a connection of their own, whatever they are; nothing repairs them."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(request)
            async with asyncio.timeout(60):
                return _answer(await _everything(reader))
        finally:
            writer.close()

    async def get(self, *lines: bytes | str, path: str = "/v1/me", method: str = "GET", version: str = "1.1") -> Answer:
        """A request whose further head lines are sent as they are; text goes out as latin-1."""
        head = [f"{method} {path} HTTP/{version}".encode("latin-1"), b"Host: api.test", b"Connection: close"]
        rest = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
        return await self.send(b"\r\n".join([*head, b"X-Request-ID: " + REQUEST_ID.encode(), *rest, b"", b""]))

    async def me(self, token: str) -> Answer:
        return await self.get(b"Authorization: Bearer " + token.encode("latin-1"))

    async def verified(self, token: str) -> Outcome:
        """By the function."""
        try:
            await self.services.verifier.verify(Credential.bearer(token))
        except TokenError as error:
            return Outcome(error.status, error.code, error.refusal.reason if error.refusal else "")
        return Outcome(200, "", "")

    async def served(self, token: str) -> Outcome:
        """By the server; the reason is the one that the operator's metric counted."""
        with counting(self.services) as reasons:
            answer = await self.me(token)
        code = answer.shown[1]
        if code in CHALLENGES and answer.header("www-authenticate") != CHALLENGES[code]:
            code = f"{code} with the challenge {answer.header('www-authenticate')}"
        return Outcome(answer.status, code, " ".join(reasons))


@contextmanager
def counting(services: Services) -> Iterator[list[str]]:
    """The reasons for which tokens were refused while the block ran, by the metric."""
    reasons: list[str] = []
    before = _refused(services)
    yield reasons
    after = _refused(services)
    reasons.extend((after - before).elements())


def _refused(services: Services) -> Counter[str]:
    samples = (sample for metric in services.metrics.token_verifications.collect() for sample in metric.samples)
    return Counter(
        {
            sample.labels["reason"]: int(sample.value)
            for sample in samples
            if sample.name.endswith("_total") and sample.labels["result"] == "refused"
        }
    )


async def _everything(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def _answer(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not head:
        return Answer(0, (), b"")
    pairs = (line.partition(":") for line in lines[1:])
    return Answer(int(lines[0].split(" ")[1]), tuple((name.lower(), value.strip()) for name, _, value in pairs), body)


class _Server(uvicorn.Server):
    """In this process and loop: signals stay the test runner's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(client: ApiClient, *, port: int = 0) -> AsyncIterator[tuple[str, int]]:
    """The client's application behind uvicorn with the options of `tenants-api serve`; port 0 is a free one."""
    # With its protocol named: asyncio switches Nagle's algorithm off only then, and each answer would wait for 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        client.app,
        http=BoundedHttp,
        ws="none",
        lifespan="off",  # `running_app` has opened it
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        await task
        listener.close()


async def differing(arena: Arena, face: str, cases: Sequence[Hostile]) -> dict[str, Any]:
    """The cases whose outcome is not the expected one, with both; good tokens are accepted before and after."""
    ask = arena.verified if face == "function" else arena.served
    await _good_is_accepted(arena)
    wrong = {}
    for case in cases:
        expected = _expected(case, face=face)
        if (found := await ask(case.make(arena.mint))) != expected:
            wrong[f"{case.row} {case.name}"] = {"expected": expected, "found": found}
    await _good_is_accepted(arena)
    return wrong


def _expected(case: Hostile, *, face: str) -> Outcome:
    if face == "function":
        return Outcome(401, case.code, case.reason)
    status, code = case.answer
    # What is no credential at all is answered before the verifier; at a connection that is cut nothing is told.
    return Outcome(status, code, {401: case.reason, 400: "malformed_credentials" if code else ""}.get(status, ""))


async def _good_is_accepted(arena: Arena) -> None:
    good = arena.mint.token()
    assert await arena.verified(good) == Outcome(200, "", "")
    assert (await arena.me(good)).shown == ACCEPTED
