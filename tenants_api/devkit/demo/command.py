"""`tenants-api demo`: runs the demo with development realms or Keycloak, a database and two workers."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

import tenants_api
from tenants_api.cli.exits import CHECK_FAILED, CliError
from tenants_api.cli.output import AsJson, cell, print_json, say
from tenants_api.database.migrations import upgrade
from tenants_api.devkit.demo.keycloak import By, local_keycloak
from tenants_api.devkit.demo.stage import (
    USERS,
    Gateway,
    TokenRealms,
    Workers,
    development_realms,
    end_of,
    end_process,
    free_port,
    is_free,
    nginx,
    open_gateway,
)
from tenants_api.devkit.demo.story import CLIENT_ID, STORY, Step, play
from tenants_api.devkit.realms import run_dev_realms

app = typer.Typer(
    no_args_is_help=True, help="Development realms: a small issuer with Keycloak's URLs. Do not expose it."
)


app.callback()(lambda: None)  # Typer would otherwise merge the single verb into its group


@app.command()
def serve(
    realm: Annotated[list[str] | None, typer.Option(help="Name of a realm; acme, globex and initech if none.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8180,
    as_json: AsJson = False,
) -> None:
    """Serve development realms on 127.0.0.1: alice (editor), bob (viewer), carol (admin), password `<name>-pw`."""
    names = realm or ["acme", "globex", "initech"]
    issuers = [f"http://127.0.0.1:{port}/realms/{name}" for name in names]
    if as_json:
        print_json({"issuers": issuers, "client_id": CLIENT_ID})
    for issuer in issuers:
        say(issuer)
    say(f"settings of an API that uses them: TENANTS_INSECURE_HTTP_HOSTS=127.0.0.1:{port}")
    say(f"  TENANTS_ALLOWED_PRIVATE_NETWORKS=127.0.0.0/8 TENANTS_ALLOWED_REALM_PORTS={port}")
    run_dev_realms(names, port=port)


REALMS = ("acme", "globex", "initech")
WORKERS = 2
START_TIMEOUT_SECONDS = 60.0  # until both workers respond
WIDTH_COLUMNS = 140  # without a terminal
INTERRUPTED = 130  # the exit code of shells after Ctrl-C


def demo(
    keycloak: Annotated[
        By | None,
        typer.Option(help="With a real Keycloak; without a value (auto) in a container, else by Java and Maven."),
    ] = None,
    stop: Annotated[bool, typer.Option("--exit", help="End after the last step; exit 3 if a step failed.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep database and logs in this folder.", file_okay=False)] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the API; a free one if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a demonstration on this machine: onboard a realm, use it, rotate its keys, suspend it."""
    if port is not None and not is_free(port):
        raise CliError(f"the port {port} is in use", hint="choose another --port, or leave it out for a free one")
    with _folder(keep) as name:
        played = _run(Path(name), keycloak=keycloak, port=port or free_port(), stop=stop, as_json=as_json)
    if not played:
        raise typer.Exit(CHECK_FAILED)


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    if keep is None:
        return TemporaryDirectory(prefix="tenants-api-demo-")
    keep.mkdir(parents=True, exist_ok=True)
    for left in keep.glob("demo.db*"):  # an earlier demo's tenants would make these steps fail
        left.unlink()
    return nullcontext(str(keep.resolve()))


def _run(folder: Path, *, keycloak: By | None, port: int, stop: bool, as_json: bool) -> bool:
    try:
        return asyncio.run(_play(folder, keycloak=keycloak, port=port, stop=stop, as_json=as_json))
    except asyncio.CancelledError:
        raise typer.Exit(INTERRUPTED) from None


async def _play(folder: Path, *, keycloak: By | None, port: int, stop: bool, as_json: bool) -> bool:
    _end_on_signals()
    status = Console(stderr=True).status("starting …")
    with status if sys.stderr.isatty() else nullcontext():
        async with AsyncExitStack() as stack:
            source = local_keycloak(REALMS, folder=folder, by=keycloak) if keycloak else development_realms(REALMS)
            realms = await stack.enter_async_context(source)
            admin_key = secrets.token_urlsafe(32)
            environment = _environment(folder, realms=realms, admin_key=admin_key)
            await asyncio.to_thread(upgrade, environment["TENANTS_DATABASE_URL"])
            workers = await stack.enter_async_context(
                _api(folder, port=port, environment=environment, admin_key=admin_key)
            )
            gateway = await _gateway(stack, folder=folder, port=port)
            status.stop()
            played = await _show(workers, realms=realms, gateway=gateway, as_json=as_json)
            if not stop:
                _print_next_steps(workers, realms=realms, admin_key=admin_key)
                await _until_interrupted()
            return played


async def _gateway(stack: AsyncExitStack, *, folder: Path, port: int) -> Gateway | None:
    """nginx in front of a service; None if nginx is not installed."""
    program = nginx()
    if program is None:
        return None
    return await stack.enter_async_context(open_gateway(program, folder=folder, authorizer=f"127.0.0.1:{port}"))


async def _show(workers: Workers, *, realms: TokenRealms, gateway: Gateway | None, as_json: bool) -> bool:
    steps: list[Step] = []
    title = f"{realms.title} at {realms.base_url}; {workers.count} workers at {workers.base_url}"
    table = Table("", "step", "tenant", "http", "answer", "took", title=title, title_justify="left", box=None)
    screen = Console(stderr=as_json, width=None if sys.stdout.isatty() else WIDTH_COLUMNS)
    with Live(table, console=screen, auto_refresh=False) as live:
        async for step in play(workers, realms, gateway=gateway):
            steps.append(step)
            mark = cell("skipped" if step.skipped else "ok" if step.ok else "failed")
            table.add_row(mark, step.step, step.tenant, step.http, step.answer, f"{step.took:.0f} ms")
            live.refresh()
    if as_json:
        print_json([asdict(step) for step in steps])
    return len(steps) == len(STORY) and all(step.ok for step in steps)


@asynccontextmanager
async def _api(folder: Path, *, port: int, environment: dict[str, str], admin_key: str) -> AsyncIterator[Workers]:
    """The workers of `tenants-api serve` in a process group."""
    log = folder / "serve.log"
    command = ("-m", "tenants_api.cli", "serve", "--port", str(port), "--workers", str(WORKERS), "--show-worker")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        try:
            workers = Workers(f"http://127.0.0.1:{port}", admin_key=admin_key, count=WORKERS)
            await workers.connect(within=START_TIMEOUT_SECONDS, alive=lambda: process.returncode is None)
        except TimeoutError as error:
            raise CliError(f"the API did not start: {error}\n{end_of(log)}") from error
        yield workers
        await workers.aclose()
    finally:
        await end_process(process)


def _environment(folder: Path, *, realms: TokenRealms, admin_key: str) -> dict[str, str]:
    """The environment of the workers, without TENANTS_* settings of this process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENANTS_")}
    # For a package that is not installed but run from its source folder.
    source = str(Path(tenants_api.__file__).resolve().parent.parent)
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, inherited.get("PYTHONPATH")))),
        "TENANTS_ENVIRONMENT": "development",
        "TENANTS_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'demo.db'}",
        "TENANTS_ADMIN_API_KEY": admin_key,
        "TENANTS_INSECURE_HTTP_HOSTS": realms.host,
        "TENANTS_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128",
        "TENANTS_ALLOWED_REALM_PORTS": str(realms.port),
    }


def _print_next_steps(workers: Workers, *, realms: TokenRealms, admin_key: str) -> None:
    """Print commands to try next."""
    api = workers.base_url
    realm = f'{{"issuer": "{realms.issuer("initech")}", "client_id": "tenants-api"}}'
    body = f'{{"slug": "initech", "name": "Initech", "realms": [{realm}]}}'
    for line in (
        "",
        f"API docs    {api}/docs",
        f"Admin docs  {api}/admin/docs",
        f"Admin API   {api}/admin/v1 (Authorization: Bearer {admin_key})",
        f"Realms      {', '.join(realms.issuer(name) for name in REALMS)}",
        f"Users       {', '.join(f'{user} ({role})' for role, user in USERS.items())}; password: <name>-pw",
        *([f"Keycloak    {realms.admin}"] if realms.admin else []),
        "",
        "# a token of alice (editor), and two requests with it",
        f"TOKEN=$({realms.token_command('acme', role='editor')})",
        f'curl -s {api}/v1/me -H "Authorization: Bearer $TOKEN"',
        f'curl -s {api}/v1/items -H "Authorization: Bearer $TOKEN"',
        "# onboard the third realm",
        f"curl -s {api}/admin/v1/tenants -H 'Authorization: Bearer {admin_key}' -H 'Content-Type: application/json' \\",
        f"  -d '{body}'",
        "",
        "Ctrl-C ends the demo.",
    ):
        say(line)


def _end_on_signals() -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)


async def _until_interrupted() -> None:
    with suppress(asyncio.CancelledError):  # by Ctrl-C
        await asyncio.Event().wait()
