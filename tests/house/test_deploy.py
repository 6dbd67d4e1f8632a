"""The container files agree with the code: variables that exist, locked-down services, realms that fit the API."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tenants_api.settings import Settings
from tests.house.tree import ROOT

KEYCLOAK_REALMS = sorted((ROOT / "deploy" / "keycloak").glob("*-realm.json"))
OURS = ("migrate", "api-1", "api-2", "nginx")
# Passwords of PostgreSQL's roles: read by compose and the database's first start, not by the API.
_NOT_SETTINGS = {"TENANTS_OWNER_PASSWORD", "TENANTS_APP_PASSWORD"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("name", ["compose.yaml", ".env.example", "Dockerfile"])
def test_every_variable_is_a_setting(name: str) -> None:
    # A comment may speak of TENANTS_X; an assignment of it may not be wrong.
    named = set(re.findall(r"^#?\s*(TENANTS_[A-Z_]+)[=:]", (ROOT / name).read_text("utf-8"), re.MULTILINE))
    known = {f"TENANTS_{field.upper()}" for field in Settings.model_fields}
    assert named - known - _NOT_SETTINGS == set()


@pytest.mark.parametrize("service", OURS)
def test_service_can_write_nothing_and_gain_nothing(compose: dict[str, Any], service: str) -> None:
    given = compose["services"][service]
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]


def test_ports_are_open_to_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_realms_may_resolve_into_keycloaks_network_only(compose: dict[str, Any]) -> None:
    allowed = compose["services"]["api-1"]["environment"]["TENANTS_ALLOWED_PRIVATE_NETWORKS"]
    assert allowed == compose["networks"]["realms"]["ipam"]["config"][0]["subnet"]
    assert compose["services"]["keycloak"]["networks"] == ["realms"]
    assert "realms" not in compose["services"]["postgres"]["networks"]


def test_d12_replicas_believe_what_nginx_says_of_the_client_and_no_other_network(compose: dict[str, Any]) -> None:
    for replica in ("api-1", "api-2"):
        trusted = compose["services"][replica]["environment"]["TENANTS_TRUSTED_PROXIES"]
        assert trusted == compose["networks"]["front"]["ipam"]["config"][0]["subnet"]
    on_front = {name for name, service in compose["services"].items() if "front" in service["networks"]}
    assert on_front == {"api-1", "api-2", "nginx"}


def test_replicas_do_not_get_the_owners_password(compose: dict[str, Any]) -> None:
    for replica in ("api-1", "api-2"):
        assert "owner" not in json.dumps(compose["services"][replica]["environment"])


def test_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    last_stage = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\d+):\d+$", last_stage, re.MULTILINE) == ["10001"]


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--port", "{}"],
        ["serve", "--port={}", "--workers", "2"],
        ["--", "serve", "--authz-only", "--port", "{}"],
    ],
)
def test_health_check_follows_the_port_of_the_command_line(words: list[str], tmp_path: Path) -> None:
    """E21: run as it stands there, on a copy of the first process's command line."""
    source = (ROOT / "Dockerfile").read_text("utf-8")
    _, option, code = json.loads(re.findall(r"^    CMD (\[.*\])$", source, re.MULTILINE)[0])
    assert "/proc/1/cmdline" in code
    code = code.replace("/proc/1/cmdline", str(tmp_path / "cmdline"))

    class Livez(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Livez) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        line = "\0".join(["python", "tenants-api", *words, ""]).format(server.server_port)
        (tmp_path / "cmdline").write_text(line, "utf-8")
        healthy = subprocess.run([sys.executable, option, code], check=False, capture_output=True, timeout=60)
        server.shutdown()
    unhealthy = subprocess.run([sys.executable, option, code], check=False, capture_output=True, timeout=60)
    assert (healthy.returncode, unhealthy.returncode) == (0, 1), healthy.stderr


@pytest.mark.parametrize("path", KEYCLOAK_REALMS, ids=lambda path: path.stem)
def test_realm_puts_the_api_into_the_audience(path: Path) -> None:
    realm = json.loads(path.read_text("utf-8"))
    assert path.name == f"{realm['realm']}-realm.json"
    web = next(client for client in realm["clients"] if client["clientId"] == "web")
    assert [mapper["config"]["included.client.audience"] for mapper in web["protocolMappers"]] == ["tenants-api"]


def test_there_is_a_realm_for_two_tenants_and_the_platform() -> None:
    assert [path.stem for path in KEYCLOAK_REALMS] == ["acme-realm", "globex-realm", "platform-realm"]


def test_nginx_shows_neither_metrics_nor_forward_auth_to_the_world() -> None:
    configuration = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    for location in ("= /metrics", "~ ^/authz(/|$)"):
        assert re.search(rf"location {re.escape(location)} {{\s*return 404;", configuration)
