"""The programs of the assertion's page, as they stand there: they accept an assertion of ours and nothing near it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tenants_api.tokens.credentials import Credential
from tests.attacks.arena import listening
from tests.house.tree import ROOT
from tests.support.asserting import SECRET
from tests.support.machine import require
from tests.support.realms import dev_realms
from tests.support.stack import bearer, onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("assertion-page")]
PAGE = (ROOT / "docs" / "assertion.md").read_text(encoding="utf-8")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tenants-api" / "snippets"
ON = {
    "assertion_secret": SECRET,
    "assertion_issuer": "https://api.example",
    "assertion_audiences": ("internal", "other"),
}


@dataclass(frozen=True, slots=True)
class Program:
    """How a block of the page becomes something that runs: packages are fetched, then it is built, both once."""

    tool: str
    file: str
    fetched: tuple[tuple[str, ...], ...]
    built: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]


_GO = ("github.com/golang-jwt/jwt/v5@v5.3.0", "github.com/MicahParks/keyfunc/v3@v3.6.2")
PROGRAMS = {
    "python": Program("python", "verify.py", (), (), (sys.executable, "verify.py")),
    "javascript": Program(
        "node", "verify.mjs", (("npm", "install", "--silent", "jose@6"),), (), ("node", "verify.mjs")
    ),
    "go": Program(
        "go",
        "main.go",
        (("go", "mod", "init", "verify"), ("go", "get", *_GO)),
        (("go", "build", "-o", "verify", "."),),
        ("./verify",),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Api:
    """`assertion` is about alice of acme; `other` is the same for another audience."""

    jwks: str
    assertion: str
    other: str
    access: str


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    with dev_realms("acme") as realms:
        async with running_app(tmp_path_factory.mktemp("page"), realms, **ON) as client:
            await onboard(client, "acme")
            access = realms.realm("acme").mint()
            answer = await client.get("/authz", headers=bearer(access))
            services = client.app.state.services
            other = services.assertion.mint(await services.verifier.verify(Credential.bearer(access)), audience="other")
            async with listening(client) as (host, port):
                yield Api(
                    f"http://{host}:{port}/.well-known/jwks.json", answer.headers["X-Internal-Assertion"], other, access
                )


def made(language: str) -> Path:
    """The page's program, ready to run; made once a machine and text."""
    program = PROGRAMS[language]
    found_tool = program.tool == "python" or shutil.which(program.tool) is not None
    require(program.tool, available=found_tool, how=f"install {program.tool}")
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"no program in {language} on the page"
    folder = CACHE / language
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other runs on this machine may make it, too
        file, done = folder / program.file, folder / ".made"
        if not done.exists() or file.read_text(encoding="utf-8") != found[1]:
            empty(folder)  # what an earlier text left, `go mod init` would stumble over
            file.write_text(found[1], encoding="utf-8")
            for command in program.fetched:
                ran = ran_in(folder, command)
                reason = f"packages for {language} cannot be had here: {ran.stderr.strip()[-200:]}"
                require(program.tool, available=ran.returncode == 0, how=reason)
            for command in program.built:
                ran = ran_in(folder, command)
                assert ran.returncode == 0, f"what the page shows does not build: {ran.stderr.strip()[-2000:]}"
            done.touch()
    return folder


def empty(folder: Path) -> None:
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != ".lock":
            left.unlink()


def ran_in(folder: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=600)


async def said(language: str, raw: str, *, jwks: str) -> tuple[int, str]:
    folder = await asyncio.to_thread(made, language)
    done = await asyncio.to_thread(
        subprocess.run, PROGRAMS[language].run, cwd=folder, input=raw.encode(), capture_output=True, timeout=300,
        env={**os.environ, "JWKS": jwks}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode().strip()


@pytest.mark.parametrize("language", PROGRAMS)
async def test_program_accepts_an_assertion_and_says_whose_it_is(api: Api, language: str) -> None:
    assert await said(language, api.assertion, jwks=api.jwks) == (0, "acme editor")


@pytest.mark.parametrize("language", PROGRAMS)
async def test_program_refuses_what_is_near(api: Api, language: str) -> None:
    """Another audience, a spoilt signature, and the caller's own token."""
    spoilt = api.assertion[:-6] + ("A" if api.assertion[-6] != "A" else "B") + api.assertion[-5:]
    for raw in (api.other, spoilt, api.access):
        code, told = await said(language, raw, jwks=api.jwks)
        assert (code != 0, told) == (True, "")
