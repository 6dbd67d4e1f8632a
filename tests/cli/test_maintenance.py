"""`tenants-api maintenance`: counts, removes, and is safe to run at any time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli.conftest import Cli

OLD = "2020-01-01 00:00:00.000000"


def put(path: Path, *, old_keys: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "insert into idempotency_keys (actor_id, key, fingerprint, headers, created_at)"
            " values ('a', ?, 'f', '{}', ?)",
            [(str(number), OLD) for number in range(old_keys)],
        )
        connection.execute("update audit_events set occurred_at = ?, id = '00' || substr(id, 3)", (OLD,))


def rows(said: Any) -> dict[str, int]:
    return {one["table"]: one["rows"] for one in said["tables"]}


def test_dry_run_counts_and_changes_nothing_then_it_removes_and_then_nothing_is_left(
    cli: Cli, acme: dict[str, Any], tmp_path: Path
) -> None:
    put(tmp_path / "cli.db", old_keys=2500)
    expected = {"idempotency_keys": 2500, "login_tries": 0, "rejections": 0}
    for _ in range(2):
        found = cli.json("maintenance", "--dry-run")
        assert (found["dry_run"], rows(found)) == (True, expected)
    assert rows(cli.json("maintenance", "--batch", "1000")) == expected
    assert rows(cli.json("maintenance")) == dict.fromkeys(expected, 0)


def test_audit_trail_is_kept_unless_a_setting_says_for_how_long(cli: Cli, acme: dict[str, Any], tmp_path: Path) -> None:
    put(tmp_path / "cli.db", old_keys=0)
    assert "audit_events" not in rows(cli.json("maintenance"))
    asked = Cli(cli.environment | {"TENANTS_AUDIT_RETENTION_DAYS": "365"})
    before = len(cli.json("audit", "tail")["data"])
    assert rows(asked.json("maintenance"))["audit_events"] == before > 0
    (trimmed,) = cli.json("audit", "tail")["data"]
    assert (trimmed["action"], trimmed["changes"]["after"]["removed"]) == ("audit.trimmed", before)


def test_for_people_it_is_a_table(cli: Cli) -> None:
    said = cli("maintenance")
    assert said.code == 0
    assert "idempotency_keys" in said.out
    assert "deleted" in said.out


def test_batch_that_is_no_size_is_refused(cli: Cli) -> None:
    assert cli("maintenance", "--batch", "0").code == 2
