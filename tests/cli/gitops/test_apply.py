"""`tenants apply`: what a file says becomes the registry, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.cli.conftest import CLIENT_ID, Cli, Said
from tests.cli.gitops.conftest import lines, ndjson, realm, slugs, summary, tenant

Write = Callable[..., str]


def apply(cli: Cli, path: str, *more: str, activate: str = "unchecked") -> Said:
    return cli("tenants", "apply", "-f", path, "--json", "--activate", activate, *more)


def test_plan_tells_what_is_new_changed_and_the_same_and_changes_nothing(cli: Cli, write: Write) -> None:
    assert apply(cli, write(ndjson(tenant("acme"), tenant("globex")))).code == 0

    file = write(ndjson(tenant("acme"), tenant("globex", name="Globex Corp"), tenant("initech")))
    said = apply(cli, file, "--dry-run")

    told = {one["slug"]: (one["action"], one.get("changes")) for one in lines(said.out)[:-1]}
    assert told == {"globex": ("update", ["name"]), "initech": ("create", None)}
    assert summary(said.out) == {"create": 1, "update": 1, "unchanged": 1, "delete": 0, "failed": 0}
    assert slugs(cli) == {"acme", "globex"}
    assert cli.json("tenants", "show", "globex")["name"] == "Globex"


def test_second_run_changes_nothing_and_writes_no_trail(cli: Cli, write: Write) -> None:
    rules = [{"from": "realm", "value": "owner", "role": "admin"}]
    spelled_out = realm("acme", realm_url="https://id.example/realms/acme", audiences=["tenants-api"], enabled=True)
    file = write(ndjson(tenant("acme", realms=[spelled_out], role_mapping=rules, metadata={"b": 1, "a": [1.0, None]})))
    assert summary(apply(cli, file).out)["create"] == 1
    before = cli.json("audit", "tail")["data"]

    again = summary(apply(cli, file).out)

    assert again == {"create": 0, "update": 0, "unchanged": 1, "delete": 0, "failed": 0}
    assert cli.json("audit", "tail")["data"] == before


@pytest.mark.parametrize("client_id", ["My App", "a,b", "Приложение №1"])
def test_rule_names_a_client_by_any_id(cli: Cli, write: Write, client_id: str) -> None:
    """A11"""
    rules = [{"from": f"client:{client_id}", "value": "edit", "role": "editor"}]
    file = write(ndjson(tenant("acme", role_mapping=rules), tenant("globex")))
    assert summary(apply(cli, file).out)["create"] == 2

    assert summary(apply(cli, file).out)["unchanged"] == 2
    assert cli.json("tenants", "show", "acme")["role_mapping"] == rules
    written = "slug: acme\nname: Acme\nrealms: [{issuer: 'https://id.example/realms/acme', client_id: tenants-api}]\n"
    written += f"role_mapping:\n  - {{from: 'client:{client_id}', value: edit, role: editor}}\n"
    assert summary(apply(cli, write(written, "acme.yaml")).out)["unchanged"] == 1


def test_number_of_another_kind_is_a_change(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme", metadata={"seats": 1}))))
    for other in (1.0, True, "1"):
        assert summary(apply(cli, write(ndjson(tenant("acme", metadata={"seats": other}))), "--dry-run").out)["update"]


def test_realms_in_another_order_are_no_change(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme", realms=[realm("b"), realm("a")]))))
    same = apply(cli, write(ndjson(tenant("acme", realms=[realm("a"), realm("b")]))))
    assert summary(same.out)["unchanged"] == 1


def test_update_keeps_ids_and_says_who_and_why(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"))))
    before = cli.json("tenants", "show", "acme")

    apply(cli, write(ndjson(tenant("acme", realms=[realm("acme", algorithms=["ES256"])]))), "--reason", "new keys")

    after = cli.json("tenants", "show", "acme")
    assert (after["id"], after["realms"][0]["id"]) == (before["id"], before["realms"][0]["id"])
    assert after["realms"][0]["algorithms"] == ["ES256"]
    event = cli.json("audit", "tail")["data"][0]
    assert (event["action"], event["reason"], event["actor"]["type"]) == ("tenant.replaced", "new keys", "cli")


@pytest.mark.parametrize(
    ("before", "after", "actions"),
    [
        ("active", "suspended", ["tenant.suspended"]),
        ("suspended", "active", ["tenant.resumed"]),
        ("draft", "active", ["tenant.activated"]),
        ("draft", "suspended", ["tenant.suspended", "tenant.activated"]),
    ],
)
def test_state_in_the_file_is_the_state(cli: Cli, write: Write, before: str, after: str, actions: list[str]) -> None:
    apply(cli, write(ndjson(tenant("acme", state=before))))
    assert cli.json("tenants", "show", "acme")["state"] == before
    apply(cli, write(ndjson(tenant("acme", state=after))))
    assert cli.json("tenants", "show", "acme")["state"] == after
    assert [one["action"] for one in cli.json("audit", "tail", "-n", str(len(actions)))["data"]] == actions


def test_state_that_the_file_leaves_out_is_left_alone(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"))))
    cli("tenants", "suspend", "acme")
    assert summary(apply(cli, write(ndjson(tenant("acme")))).out)["unchanged"] == 1
    apply(cli, write(ndjson(tenant("acme", name="Acme Ltd"))))
    assert cli.json("tenants", "show", "acme")["state"] == "suspended"


def test_active_tenant_does_not_go_back_to_draft(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"))))
    said = apply(cli, write(ndjson(tenant("acme", state="draft"))))
    assert said.code == 5
    assert "cannot become a draft again" in said.talk


def test_never_leaves_drafts_and_asks_no_realm(cli: Cli, write: Write, realms: DevRealmServer) -> None:
    served = tenant("acme", realms=[{"issuer": realms.realm("acme").issuer, "client_id": CLIENT_ID}], state="active")
    asked = dict(realms.realm("acme").requests)
    assert summary(apply(cli, write(ndjson(served)), activate="never").out)["create"] == 1
    assert cli.json("tenants", "show", "acme")["state"] == "draft"
    assert summary(apply(cli, write(ndjson(served)), activate="never").out)["unchanged"] == 1
    assert dict(realms.realm("acme").requests) == asked


def test_checks_decide_who_is_let_in(cli: Cli, write: Write, realms: DevRealmServer) -> None:
    issuer = realms.realm("acme").issuer
    good = tenant("acme", realms=[{"issuer": issuer, "client_id": CLIENT_ID}])
    bad = tenant("nobody", realms=[{"issuer": issuer.replace("acme", "nobody"), "client_id": CLIENT_ID}])
    file = write(ndjson(bad, good))

    said = apply(cli, file, activate="when_ready")

    assert said.code == 3
    assert [one["slug"] for one in lines(said.out) if "failed" in one] == ["nobody"]
    assert slugs(cli, "--state", "active") == {"acme"}
    assert slugs(cli, "--state", "draft") == {"nobody"}
    again = apply(cli, file, activate="when_ready")
    assert (again.code, summary(again.out)["unchanged"]) == (3, 1), "a draft is tried again, an active tenant is not"


def test_now_stores_nothing_of_a_tenant_whose_checks_fail(cli: Cli, write: Write, realms: DevRealmServer) -> None:
    issuer = realms.realm("acme").issuer.replace("acme", "nobody")
    said = apply(cli, write(ndjson(tenant("nobody", realms=[realm("x") | {"issuer": issuer}]))), activate="now")
    assert said.code == 3
    assert slugs(cli) == set()


def test_issuer_moves_to_another_tenant_within_one_file(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme", realms=[realm("one"), realm("two")]), tenant("globex"))))

    # The taker stands before the giver, and both before one that only comes now.
    moved = [
        tenant("globex", realms=[realm("two"), realm("globex")]),
        tenant("acme", realms=[realm("three")]),
        tenant("initech", realms=[realm("one")]),
    ]
    said = apply(cli, write(ndjson(*moved)))

    assert said.code == 0, said.talk
    assert [one["issuer"] for one in cli.json("tenants", "show", "globex")["realms"]] == [
        "https://id.example/realms/globex",
        "https://id.example/realms/two",
    ]
    assert summary(apply(cli, write(ndjson(*moved))).out)["unchanged"] == 3


def test_two_tenants_that_swap_their_issuers_are_told(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"), tenant("globex"))))
    swapped = ndjson(tenant("acme", realms=[realm("globex")]), tenant("globex", realms=[realm("acme")]))
    said = apply(cli, write(swapped))
    assert said.code == 5
    assert summary(said.out)["failed"] == 2
    assert cli.json("tenants", "show", "acme")["realms"][0]["issuer"].endswith("/acme")


def test_name_of_a_tenant_that_the_file_does_not_name_is_a_conflict(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme", external_id="c-1"))))
    for claim in ({"realms": [realm("acme")]}, {"external_id": "c-1"}):
        said = apply(cli, write(ndjson(tenant("other", **claim))), "--dry-run")
        assert said.code == 5
        assert "'acme'" in said.talk
    assert slugs(cli) == {"acme"}


def test_deleted_tenant_is_not_brought_back_by_a_file(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"))))
    cli("tenants", "delete", "acme", "--yes")
    said = apply(cli, write(ndjson(tenant("acme"))))
    assert said.code == 5
    assert "restore" in said.talk
    assert cli.json("tenants", "show", "acme")["state"] == "deleted"


def test_without_prune_nobody_is_deleted(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"), tenant("globex"))))
    assert summary(apply(cli, write(ndjson(tenant("acme")))).out)["delete"] == 0
    assert slugs(cli, "--state", "active") == {"acme", "globex"}


def test_prune_asks_and_then_deletes_restorably(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(tenant("acme"), tenant("globex"))))
    file = write(ndjson(tenant("acme")))
    command = ("tenants", "apply", "-f", file, "--prune")

    refused = cli(*command, stdin="n\n")
    assert refused.code == 1
    assert "Delete 1 tenants?" in refused.talk
    assert slugs(cli, "--state", "active") == {"acme", "globex"}

    assert cli(*command, "--yes").code == 0
    assert slugs(cli, "--state", "deleted") == {"globex"}
    assert summary(apply(cli, file, "--prune", "--yes").out)["delete"] == 0


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n---\n", '{"slug": "acme"', ndjson(tenant("acme"), {})])
def test_prune_with_an_empty_or_broken_file_deletes_nobody(cli: Cli, write: Write, content: str) -> None:
    apply(cli, write(ndjson(tenant("acme"), tenant("globex"))))
    said = cli("tenants", "apply", "-f", write(content, name="input"), "--prune", "--yes")
    assert said.code == 2
    assert "nothing was changed" in said.talk
    assert slugs(cli, "--state", "active") == {"acme", "globex"}


def test_more_deletes_than_allowed_are_refused_also_with_yes(cli: Cli, write: Write) -> None:
    apply(cli, write(ndjson(*(tenant(f"t{n}") for n in range(4)))))
    file = write(ndjson(tenant("t0")))
    said = apply(cli, file, "--prune", "--yes", "--max-deletes", "2")
    assert said.code == 5
    assert "--max-deletes 3" in said.talk
    assert len(slugs(cli, "--state", "active")) == 4
    assert apply(cli, file, "--prune", "--yes", "--max-deletes", "3").code == 0


def test_interrupted_run_goes_on_where_it_ended(cli: Cli, write: Write) -> None:
    everything = [tenant(f"t{n}") for n in range(5)]
    apply(cli, write(ndjson(*everything[:3])))  # as far as an earlier run came: each tenant whole, or not there
    said = apply(cli, write(ndjson(*everything)))
    assert summary(said.out) == {"create": 2, "update": 0, "unchanged": 3, "delete": 0, "failed": 0}


def test_tenant_of_the_platform_realm_is_refused_with_its_line(cli: Cli, write: Write) -> None:
    with_platform = Cli(
        cli.environment
        | {"TENANTS_PLATFORM_ISSUER": "https://id.example/realms/platform", "TENANTS_PLATFORM_CLIENT_ID": "admin"}
    )
    said = apply(with_platform, write(ndjson(tenant("acme"), tenant("platform"))))
    assert said.code == 2
    assert "line 2" in said.talk
    assert slugs(cli) == set()


def test_stdin_and_a_file_are_read_alike(cli: Cli) -> None:
    said = cli("tenants", "apply", "-f", "-", "--activate", "never", "--json", stdin=ndjson(tenant("acme")))
    assert summary(said.out)["create"] == 1
    said = cli("tenants", "apply", "-f", "-", "--activate", "never", "--json", stdin="slug: globex\nname: Globex\n")
    assert summary(said.out)["create"] == 1
    assert slugs(cli) == {"acme", "globex"}


def test_file_that_is_not_there_is_a_usage_error(cli: Cli, tmp_path: Any) -> None:
    assert cli("tenants", "apply", "-f", str(tmp_path / "none.yaml")).code == 2
    assert cli("tenants", "apply", "-f", str(tmp_path)).code == 2
