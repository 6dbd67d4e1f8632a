"""Every verb that changes the registry: one transaction, one audit entry, one step of the registry version.

Where one verb is several of these, or none, `CASES` says why. What fails after the first commit changes no answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.cli.conftest import CLIENT_ID, Cli, Said
from tests.cli.test_commands import COMMANDS
from tests.cli.test_maintenance import put
from tests.support.committing import counting, gone

CHECKED = "its realms are checked between two transactions: reserved first, then conditions, first keys and activation"
OBSERVED = "an observation of a realm is no change by an admin: it is stored without an entry"
SHARED = "no command: the replica stores what it fetched, as after each fetch, and then tells the others"
NO_REPLICA = "admin keys are read at each request: no replica holds them"
IMPORTED = "an entry for each transition to the state that the file names, in the one transaction of its tenant"
KEPT_LONG_ENOUGH = "a short transaction for each batch of each table, which no replica holds"


@dataclass(frozen=True)
class World:
    """acme is active, globex a draft; `realm` is a realm of acme."""

    cli: Cli
    realms: DevRealmServer
    folder: Path
    realm: str

    @property
    def database(self) -> Path:
        return self.folder / "cli.db"

    def issuer(self, name: str) -> list[str]:
        return ["--issuer", self.realms.realm(name).issuer, "--client-id", CLIENT_ID]

    def must(self, *words: str) -> Any:
        return self.cli.json(*words)


@dataclass(frozen=True)
class Case:
    """What a verb commits: transactions, actions, versions; `why` where it is not one of each."""

    words: Callable[[World], list[str]]
    commits: tuple[int, list[str], int]
    why: str = ""
    after: tuple[str, ...] = ()
    code_when_cut_off: int = 0


def one(action: str) -> tuple[int, list[str], int]:
    return (1, [action], 1)


def words(*text: str) -> Callable[[World], list[str]]:
    return lambda world: [world.realm if one == "REALM" else one for one in text]


def imported(world: World) -> list[str]:
    realm = {"issuer": world.realms.realm("globex").issuer, "client_id": CLIENT_ID}
    file = world.folder / "one.ndjson"
    file.write_text(json.dumps({"slug": "initech", "name": "Initech", "realms": [realm]}))
    return ["tenants", "apply", "-f", str(file), "--activate", "unchecked"]


def swept(world: World) -> list[str]:
    put(world.database, old_keys=1)
    return ["maintenance"]


def revoked(world: World) -> list[str]:
    return ["admin-keys", "revoke", world.must("admin-keys", "create", "--name", "one")["key_id"]]


CASES = {
    "tenants create": Case(
        lambda world: ["tenants", "create", "globex", *world.issuer("globex")],
        (2, ["tenant.created", "realm.health_changed", "tenant.activated"], 3),
        CHECKED,
        code_when_cut_off=3,  # it is a draft
    ),
    "tenants update": Case(words("tenants", "update", "acme", "--name", "Other"), one("tenant.updated")),
    "tenants activate": Case(words("tenants", "activate", "globex"), one("tenant.activated"), after=("globex",)),
    "tenants suspend": Case(words("tenants", "suspend", "acme"), one("tenant.suspended")),
    "tenants resume": Case(words("tenants", "resume", "acme"), one("tenant.resumed"), after=("suspend",)),
    "tenants delete": Case(words("tenants", "delete", "acme", "--yes"), one("tenant.deleted")),
    "tenants restore": Case(words("tenants", "restore", "acme"), one("tenant.restored"), after=("delete",)),
    "tenants purge": Case(words("tenants", "purge", "acme", "--yes"), one("tenant.purged"), after=("delete",)),
    "tenants apply": Case(imported, (1, ["tenant.created", "tenant.activated"], 1), IMPORTED),
    "roles set": Case(words("roles", "set", "acme", "--rule", "realm,manager,admin"), one("tenant.updated")),
    "realms add": Case(
        lambda world: ["realms", "add", "acme", *world.issuer("globex")],
        (2, ["realm.added", "realm.health_changed"], 2),
        CHECKED,
    ),
    "realms set": Case(words("realms", "set", "acme", "REALM", "--login-client-id", "web"), one("realm.updated")),
    "realms remove": Case(words("realms", "remove", "acme", "REALM"), one("realm.removed")),
    "realms check": Case(words("realms", "check", "acme"), (1, [], 0), OBSERVED),
    "keys refresh": Case(words("keys", "refresh", "acme"), (2, [], 1), SHARED),
    "admin-keys create": Case(words("admin-keys", "create", "--name", "two"), (1, ["api_key.created"], 0), NO_REPLICA),
    "admin-keys revoke": Case(revoked, (1, ["api_key.revoked"], 0), NO_REPLICA),
    "maintenance": Case(swept, (3, [], 0), KEPT_LONG_ENOUGH),
}
READS = {
    "tenants list", "tenants show", "tenants export", "tenants rejections", "realms list", "realms show", "keys list",
    "roles list", "roles preview", "token explain", "admin-keys list", "audit tail", "audit export", "doctor",
}  # fmt: skip
# These read or change no tenant: a schema, a process, a text.
OTHERS = {
    "db upgrade", "db downgrade", "db check", "db current", "db history", "db grant", "demo", "serve",
    "dev-realms serve", "gateway render", "openapi", "settings",
}  # fmt: skip


@pytest.fixture
def world(cli: Cli, acme: dict[str, Any], realms: DevRealmServer, tmp_path: Path) -> World:
    return World(cli, realms, tmp_path, acme["realms"][0]["id"])


def run(name: str, world: World, *, fault: Exception | None = None) -> tuple[Said, tuple[int, list[str], int]]:
    case = CASES[name]
    for step in case.after:
        if step == "globex":
            world.must("tenants", "create", "globex", *world.issuer("globex"), "--activate", "never")
        else:
            world.must("tenants", step, "acme", *(["--yes"] if step == "delete" else []))
    asked = case.words(world)
    with counting(world.database, fault=fault) as commits:
        said = world.cli(*asked)
    return said, commits.all


def test_every_verb_is_listed_and_says_why_where_it_is_not_one_of_each() -> None:
    assert sorted([*CASES, *READS, *OTHERS]) == sorted(COMMANDS)
    for name, case in CASES.items():
        transactions, actions, versions = case.commits
        assert bool(case.why) == ((transactions, len(actions), versions) != (1, 1, 1)), name


@pytest.mark.parametrize("name", CASES)
def test_a_verb_commits_once_what_it_writes(world: World, name: str) -> None:
    said, commits = run(name, world)
    assert said.code == 0, said.talk
    assert commits == CASES[name].commits


@pytest.mark.parametrize("fault", [gone(), RuntimeError("a mistake of ours")], ids=["database", "mistake"])
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].why not in (SHARED, KEPT_LONG_ENOUGH)])
def test_what_fails_after_the_commit_is_not_the_answer(world: World, name: str, fault: Exception) -> None:
    said, (written, actions, _) = run(name, world, fault=fault)
    assert said.code == CASES[name].code_when_cut_off, said.talk
    assert written == 1
    assert actions == CASES[name].commits[1][: len(actions)]


def test_import_is_one_transaction_a_tenant(world: World) -> None:
    asked = imported(world)
    file = Path(asked[3])
    more = json.loads(file.read_text()) | {"slug": "umbrella", "realms": []}
    file.write_text(f"{file.read_text()}\n{json.dumps(more)}\n")
    with counting(world.database) as commits:
        assert world.cli(*asked).code == 0
    assert (commits.written, commits.versions) == (2, 2)
