"""Rendered configurations as text: what may be put into them, and what none of them lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tenants_api.forward_auth.configurations import (
    CLEARED_HEADERS,
    CLIENT_HEADERS,
    FOREIGN_HEADERS,
    FORWARDED_HEADERS,
    SET_BY_TRAEFIK,
    PlanError,
    aliases,
    plan,
    render,
)
from tenants_api.forward_auth.identity import IDENTITY_HEADERS

GOOD = {"listen": "127.0.0.1:8080", "authorizer": "127.0.0.1:8000", "upstream": "app:9000"}
PROXIES = ["nginx", "caddy", "traefik", "envoy"]


def rendered(proxy: str, **changes: Any) -> str:
    return render(proxy, plan=plan(**(GOOD | changes)))


@pytest.mark.parametrize("proxy", PROXIES)
def test_nothing_is_left_to_fill_in(proxy: str) -> None:
    text = rendered(proxy, tenant="acme", role="editor")
    assert "§" not in text
    assert "tenant=acme&role=editor" in text
    own = SET_BY_TRAEFIK if proxy == "traefik" else frozenset()
    assert {name for name in CLEARED_HEADERS if name.lower() not in text.lower()} == own


@pytest.mark.parametrize(
    ("max_token_bytes", "nginx", "envoy"),
    [(1024, "16k", 60), (8192, "16k", 60), (20_000, "28k", 60), (65_536, "72k", 96)],
)
def test_buffers_have_room_for_a_token_of_the_setting(max_token_bytes: int, nginx: str, envoy: int) -> None:
    """A8: Caddy and Traefik read a megabyte of headers."""
    assert f"large_client_header_buffers 4 {nginx};" in rendered("nginx", max_token_bytes=max_token_bytes)
    made = yaml.safe_load(rendered("envoy", max_token_bytes=max_token_bytes))
    (listener,) = made["static_resources"]["listeners"]
    assert listener["filter_chains"][0]["filters"][0]["typed_config"]["max_request_headers_kb"] == envoy


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize(
    "wrong",
    [
        {"upstream": "app:9000; return 200"},
        {"upstream": "app"},
        {"upstream": "app:99999"},
        {"listen": "unix:/tmp/x"},
        {"authorizer": "unix:/tmp/x y"},
        {"tenant": "acme&role=admin"},
        {"role": 'x"\n}'},
        {"folder": Path("/tmp/a b")},
    ],
    ids=str,
)
def test_value_that_could_change_the_configuration_is_refused(proxy: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        rendered(proxy, **wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("http://app:9000", "it has a scheme"),
        ("app", "it has no port"),
        ("[::1]", "it has no port"),
        ("app:99999", "the port '99999'"),
        ("app:", "the port ''"),
        ("app:9000/path", "it has a path"),
        ("my_app:9000", "the host 'my_app' holds an underscore"),
        ("app.:9000", "ends with a dot"),
        ("a b:9000", "holds ' '"),
        (":9000", "it has no host"),
    ],
)
def test_message_names_the_part_of_an_address_that_is_wrong(wrong: str, named: str) -> None:
    with pytest.raises(PlanError) as refused:
        rendered("nginx", upstream=wrong)
    assert named in str(refused.value)
    assert "expected HOST:PORT" in str(refused.value)


@pytest.mark.parametrize("proxy", ["nginx", "caddy", "envoy"])
def test_authorizer_may_listen_on_a_unix_socket(proxy: str) -> None:
    assert "/run/authz.sock" in rendered(proxy, authorizer="unix:/run/authz.sock")


def test_traefik_says_that_it_knows_no_unix_socket() -> None:
    with pytest.raises(PlanError):
        rendered("traefik", authorizer="unix:/run/authz.sock")


def test_aliases_are_all_spellings_but_the_name_itself() -> None:
    assert aliases("A-B-C", separators="_") == ["A-B_C", "A_B-C", "A_B_C"]
    assert len(aliases("X-Auth-Request-Preferred-Username")) == 3**4 - 1


def test_traefik_clears_first_then_asks_with_the_token_alone_and_replaces_every_identity_header() -> None:
    http = yaml.safe_load(rendered("traefik", tenant="acme"))["http"]
    authorize = http["middlewares"]["authorize"]["forwardAuth"]
    cleared = http["middlewares"]["clear"]["headers"]["customRequestHeaders"]

    assert http["routers"]["gateway"]["middlewares"] == ["clear", "no-upgrade", "authorize"]
    assert http["routers"]["websocket"]["middlewares"] == ["clear", "websocket", "authorize"]
    assert authorize["address"] == "http://127.0.0.1:8000/authz?tenant=acme"
    assert authorize["trustForwardHeader"] is False
    assert authorize["authRequestHeaders"] == ["Authorization"]
    assert authorize["authResponseHeaders"] == list(FORWARDED_HEADERS)
    assert set(IDENTITY_HEADERS) < set(FORWARDED_HEADERS)
    identity = {spelling for name in (*FORWARDED_HEADERS, *FOREIGN_HEADERS) for spelling in (name, *aliases(name))}
    assert cleared == dict.fromkeys(identity | set(CLIENT_HEADERS) - SET_BY_TRAEFIK, "")


def test_d3_traefik_hands_on_no_protocol_but_websocket() -> None:
    """D3: which requests its matchers take is Traefik's; that all others lose `Upgrade` is ours."""
    http = yaml.safe_load(rendered("traefik"))["http"]
    routers, headers = http["routers"], {name: one.get("headers") for name, one in http["middlewares"].items()}
    assert routers.keys() == {"websocket", "gateway"}
    assert routers["websocket"]["rule"] == "Method(`GET`) && HeaderRegexp(`Upgrade`, `(?i)^websocket$`)"
    assert routers["websocket"]["priority"] > routers["gateway"]["priority"]
    assert routers["gateway"]["rule"] == "PathPrefix(`/`) && !Method(`CONNECT`)"
    assert headers["websocket"] == {"customRequestHeaders": {"Upgrade": "websocket"}}
    assert headers["no-upgrade"] == {"customRequestHeaders": {"Upgrade": ""}}
    assert headers["clear"]["customRequestHeaders"]["HTTP2-Settings"] == ""


def test_d3_and_d6_envoy_upgrades_to_websocket_alone_and_names_the_connections_options_itself() -> None:
    """Here as text too: a machine may lack Envoy."""
    (listener,) = yaml.safe_load(rendered("envoy"))["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    assert [one["name"] for one in manager["http_filters"]] == ["clear", "authorize", "route"]
    mutations = manager["http_filters"][0]["typed_config"]["mutations"]["request_mutations"]
    own = {"header": {"key": "connection", "value": "upgrade"}, "append_action": "OVERWRITE_IF_EXISTS"}
    assert {"append": own} in mutations
