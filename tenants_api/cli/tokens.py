"""`tenants-api token explain`: why a token is accepted or refused. The token is neither stored nor logged."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tenants_api.cli.exits import CHECK_FAILED
from tenants_api.cli.options import read_text
from tenants_api.cli.output import AsJson, print_json, print_table, say
from tenants_api.cli.session import run, services
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import Explanation
from tenants_api.tokens.explain import explain as explain_token

app = typer.Typer(no_args_is_help=True, help="Tokens: explain why one is accepted or refused.")


app.callback()(lambda: None)  # Typer would otherwise merge the single verb into its group


@app.command()
def explain(
    token: Annotated[str | None, typer.Argument(help="`-` (stdin) if left out.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="File that holds the token.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a token step by step; exit 3 if it is refused."""
    explanation = run(_explain(_raw(token, file=file)))
    if as_json:
        found = [{"from": one.source, "value": one.value} for one in explanation.roles_found]
        print_json({**asdict(explanation), "roles_found": found})
    else:
        _print(explanation)
    if not explanation.accepted:
        raise typer.Exit(CHECK_FAILED)


def _raw(token: str | None, *, file: Path | None) -> str:
    if token is None or token == "-":  # noqa: S105 - a dash is stdin, not a secret
        return read_text(file)
    say("a token on the command line is visible in the shell's history and the process list; use --file or stdin")
    return token


async def _explain(raw: str) -> Explanation:
    async with services() as opened:
        return await explain_token(opened.verifier, Credential.bearer(raw))


def _print(explanation: Explanation) -> None:
    print_table(
        ("step", "outcome", "expected", "found"),
        ((step.step, "ok" if step.ok else "failed", step.expected, step.found) for step in explanation.steps),
    )
    if explanation.roles_found:
        typer.echo("\nroles found in the token (unverified):")
        print_table(("from", "value"), ((one.source, one.value) for one in explanation.roles_found))
    tenant = explanation.tenant.slug if explanation.tenant else "-"
    verdict = "accepted" if explanation.accepted else f"refused: {explanation.reason}"
    say(f"{verdict}; tenant {tenant}; roles {', '.join(explanation.roles) or '-'}")
    if explanation.hint:
        say(f"hint: {explanation.hint}", style="dim")
