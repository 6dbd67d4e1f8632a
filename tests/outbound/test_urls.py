"""Which issuer and realm URLs are accepted in form, before anything is resolved."""

from __future__ import annotations

import pytest

from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import TargetPolicy, target_policy
from tenants_api.outbound.urls import MAX_URL_CHARACTERS, check_target, lower_host, parse_issuer, parse_realm_url

STRICT = target_policy(insecure_http_hosts=(), allowed_private_networks=(), allowed_ports=(443, 8443))
LOCAL = target_policy(
    insecure_http_hosts=("localhost:8080", "keycloak"),
    allowed_private_networks=("127.0.0.0/8",),
    allowed_ports=(443, 8080),
)


@pytest.mark.parametrize(
    ("raw", "policy"),
    [
        ("https://id.example/realms/acme", STRICT),
        ("https://id.example:8443/auth/realms/acme", STRICT),
        ("https://id.example:443/realms/acme", STRICT),
        ("https://id.example/realms/Acme_1.2~x", STRICT),
        ("https://id.example/realms/my%20realm", STRICT),
        ("https://203-0-113-9.example/realms/a", STRICT),
        ("https://93.184.216.34/realms/a", STRICT),
        ("http://localhost:8080/realms/acme", LOCAL),
        ("http://keycloak:8080/realms/acme", LOCAL),
        ("https://127.0.0.1/realms/acme", LOCAL),
    ],
)
def test_well_formed_issuer_is_kept_byte_for_byte(raw: str, policy: TargetPolicy) -> None:
    assert parse_issuer(raw, policy=policy).issuer == raw


def test_well_known_suffix_is_stripped_with_a_note() -> None:
    parsed = parse_issuer("https://id.example/realms/a/.well-known/openid-configuration", policy=STRICT)
    assert parsed.issuer == "https://id.example/realms/a"
    assert parsed.note is not None


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "https://",
        "https:/id.example/realms/a",
        "https:id.example/realms/a",
        "https:///realms/a",
        "https://id.example/realms/a/",
        "https://id.example//realms/a",
        "https://id.example/realms/./a",
        "https://id.example/realms/../a",
        "https://id.example/realms/%2e%2e/a",
        "https://id.example/realms/a%2fb",
        "https://id.example/realms/a%5cb",
        "https://id.example/realms/a%00",
        "https://id.example/realms/a%2525",
        "https://id.example/realms/a;x",
        "https://id.example\\@127.0.0.1/realms/a",
        "https://user@id.example/realms/a",
        "https://user:pw@id.example/realms/a",
        "https://id.example:0443/realms/a",
        "https://id.example:99999/realms/a",
        "https://id.example:22/realms/a",
        "https://id.example./realms/a",
        "https://id..example/realms/a",
        "https://-id.example/realms/a",
        " https://id.example/realms/a",
        "https://id.example/realms/a\n",
        "https://id.exa\tmple/realms/a",
        "https://id.ex\u0430mple/realms/a",
        "https://\uff49d.example/realms/a",
        "https://id\u00ad.example/realms/a",
        "https://127.1/realms/a",
        "https://0/realms/a",
        "https://2130706433/realms/a",
        "https://0x7f.1/realms/a",
        "https://0177.0.0.1/realms/a",
        "https://127.0.0.1/realms/a",
        "https://10.0.0.1/realms/a",
        "https://169.254.169.254/realms/a",
        "https://100.100.100.200/realms/a",
        "https://168.63.129.16/realms/a",
        "https://[::1]/realms/a",
        "https://[::ffff:7f00:1]/realms/a",
        "https://[64:ff9b::a9fe:a9fe]/realms/a",
        "https://[64:ff9b:1:7f00:0:100:5db8:d822]/realms/a",
        "https://[fe80::1]/realms/a",
        "https://[::ffff:127.0.0.1]/realms/a",
        "https://[not-an-address]/realms/a",
        "http://id.example/realms/a",
        "ftp://id.example/realms/a",
        "file:///etc/passwd",
        "gopher://id.example/realms/a",
        "javascript:alert(1)",
        "https://id.example/realms/" + "a" * 600,
        # percent-encoding in the host, which one parser decodes and another does not
        "https://127%2e0%2e0%2e1/realms/a",
        "https://%31%32%37.0.0.1/realms/a",
        "https://id.example%2f@127.0.0.1/realms/a",
        "https://id.example%00.evil.example/realms/a",
        "https://id.example%23@127.0.0.1/realms/a",
        "https://%6cocalhost/realms/a",
        # international names: what IDNA and NFKC make of them is another host than the one that is read
        "https://\u2460\u2461\u2466.0.0.1/realms/a",
        "https://127\u30020\u30020\u30021/realms/a",
        "https://127\uff0e0\uff0e0\uff0e1/realms/a",
        "https://id.example\u2044@127.0.0.1/realms/a",
        "https://id.example\uff0f.evil.example/realms/a",
        "https://id.example\uff20127.0.0.1/realms/a",
        "https://\u212ac.example/realms/a",
        "https://fa\u00df.example/realms/a",
        "https://id\u200b.example/realms/a",
        "https://\u202eelpmaxe.di/realms/a",
        "https://m\u00fcnchen.example/realms/a",
        # one host for who reads it, another for who connects
        "https://id.example\\.evil.example/realms/a",
        "https://id.example:443@127.0.0.1/realms/a",
        "https://id.example:@127.0.0.1/realms/a",
        "https://@127.0.0.1/realms/a",
        "https://id.example,127.0.0.1/realms/a",
        "https://id.example 127.0.0.1/realms/a",
        "https://id.example\r\nHost: 127.0.0.1/realms/a",
        "https://id.example;@127.0.0.1/realms/a",
        # addresses in other clothes
        "https://localhost./realms/a",
        "https://127.0.0.1./realms/a",
        "https://017700000001/realms/a",
        "https://0x7f000001/realms/a",
        "https://0x7f.0x0.0x0.0x1/realms/a",
        "https://127.0.0.01/realms/a",
        "https://127.000.000.001/realms/a",
        "https://256.256.256.256/realms/a",
        "https://1.2.3/realms/a",
        "https://[::]/realms/a",
        "https://[::127.0.0.1]/realms/a",
        "https://[::ffff:0:127.0.0.1]/realms/a",
        "https://[2002:7f00:1::]/realms/a",
        "https://[2001:0:7f00:1::]/realms/a",
        "https://[64:ff9b::7f00:1]/realms/a",
        "https://[fe80::1%25eth0]/realms/a",
        "https://[fec0::1]/realms/a",
        "https://[fd00:ec2::254]/realms/a",
        "https://[ff02::1]/realms/a",
        "https://[3fff::1]/realms/a",
        "https://[5f00::1]/realms/a",
        "https://[::1/realms/a",
        "https://::1/realms/a",
        "https://100.64.0.1/realms/a",
        "https://224.0.0.1/realms/a",
        "https://255.255.255.255/realms/a",
        "https://192.168.0.1/realms/a",
        "https://172.31.255.255/realms/a",
        "https://198.18.0.1/realms/a",
        # ports
        "https://id.example:0/realms/a",
        "https://id.example:25/realms/a",
        "https://id.example:5432/realms/a",
        "https://id.example:6379/realms/a",
        "https://id.example:65536/realms/a",
        "https://id.example:-1/realms/a",
        "https://id.example:+443/realms/a",
        "https://id.example:\u0664\u0664\u0663/realms/a",
        "https://id.example:/realms/a",
        "https://id.example:443:443/realms/a",
    ],
)
def test_hostile_or_malformed_issuer_is_refused(raw: str) -> None:
    for parse in (parse_issuer, parse_realm_url):
        with pytest.raises(RealmFault) as refused:
            parse(raw, policy=STRICT)
        assert refused.value.reason in {"SchemeNotHttps", "TargetBlocked"}


@pytest.mark.parametrize("host", ["xn--0.example", "xn--a", "xn--a-ecp.ru", "xn--99999999.example", "xn--ls8h.example"])
def test_host_that_is_no_encoded_name_is_refused_and_never_breaks_a_fetch(host: str) -> None:
    for parse in (parse_issuer, parse_realm_url, check_target):
        with pytest.raises(RealmFault, match="international name"):
            parse(f"https://{host}/realms/a", policy=STRICT)


def test_host_that_is_an_encoded_name_is_accepted_as_it_is() -> None:
    url = "https://xn--fa-hia.example/realms/a"
    assert (parse_issuer(url, policy=STRICT).issuer, parse_realm_url(url, policy=STRICT)) == (url, url)


@pytest.mark.parametrize("raw", ["https://KC.example.com/realms/acme", "https://kc.Example.com:8443/auth/realms/Acme"])
def test_issuer_may_hold_capitals_for_it_is_only_compared(raw: str) -> None:
    assert parse_issuer(raw, policy=STRICT).issuer == raw
    with pytest.raises(RealmFault, match=r"upper case letters; write 'kc\.example\.com'"):
        parse_realm_url(raw, policy=STRICT)
    with pytest.raises(RealmFault, match="upper case letters"):
        check_target(raw, policy=STRICT)


@pytest.mark.parametrize(
    ("host", "wrong"),
    [("KC_X.example", "underscore"), ("KC.example.", "ends with a dot"), ("KC..example", "two in a row")],
)
def test_no_host_is_suggested_that_is_not_accepted(host: str, wrong: str) -> None:
    for parse in (parse_issuer, parse_realm_url):
        with pytest.raises(RealmFault, match=wrong) as refused:
            parse(f"https://{host}/realms/a", policy=STRICT)
        assert "upper case" not in refused.value.message


@pytest.mark.parametrize("raw", ["https://LOCALHOST/realms/a", "https://0X7F.1/realms/a", "https://[::FFFF:7f00:1]/realms/a",
                                 "https://id\u212a.Example/realms/a", "HTTPS://id.example/realms/a",
                                 "http://ID.example/realms/a"])  # fmt: skip
def test_capitals_in_an_issuer_open_no_rule(raw: str) -> None:
    """All but the first one; that a name leads to a private address is found when it is resolved."""
    if "LOCALHOST" in raw:
        assert lower_host(raw) == "https://localhost/realms/a"
        return
    with pytest.raises(RealmFault):
        parse_issuer(raw, policy=STRICT)


def test_realm_is_reached_at_its_issuer_with_the_host_in_lower_case() -> None:
    assert lower_host("https://KC.Example.com:8443/realms/Acme") == "https://kc.example.com:8443/realms/Acme"
    assert lower_host("https://[2606:4700::AB]/realms/Acme") == "https://[2606:4700::ab]/realms/Acme"


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ("https://keycloak_server/realms/a", "the host 'keycloak_server' holds an underscore"),
        ("https://id.example./realms/a", "ends with a dot"),
        ("https://id..example/realms/a", "two in a row"),
        ("https://-id.example/realms/a", "'-id' begins or ends with a hyphen"),
        ("https://" + "a" * 64 + ".example/realms/a", "64 characters"),
        ("https://id,example/realms/a", "holds ','"),
        ("https:///realms/a", "no host"),
        ("https://[::1/realms/a", "not an IPv6 address"),
        ("https://[fe80::1%25eth0]/realms/a", "without a zone"),
        ("https://id.example/realms/my realm", "a space"),
        ("https://id.example/realms/a\tb", "a tab"),
        ("https://id.example/realms/a\n", "white space"),
        (" https://id.example/realms/a", "white space"),
        ("https://m\u00fcnchen.example/realms/a", "U+00FC"),
        ("https://id.example\\realms\\a", "a backslash"),
        ("https://u:p@id.example/realms/a", "user info"),
        ("https://id.example:08443/realms/a", "the port '08443'"),
        ("https://id.example/realms/a/", "ends with a slash"),
        ("https://id.example//realms/a", "two slashes in a row"),
        ("https://id.example/realms/../a", "begins with a dot"),
        ("https://id.example/realms/a%2fb", "percent-encoded NUL"),
        ("https://id.example/realms/a;b", "';'"),
        ("HTTPS://id.example/realms/a", "https:// in lower case"),
        ("https://id.example/realms/" + "a" * 600, "626 characters"),
    ],
)
def test_message_names_the_part_that_is_wrong(raw: str, named: str) -> None:
    with pytest.raises(RealmFault) as refused:
        parse_realm_url(raw, policy=STRICT)
    assert named in refused.value.message


@pytest.mark.parametrize("raw", ["https://id.example/realms/a?x", "https://id.example/realms/a#x", "https://a?#@b"])
def test_query_and_fragment_have_a_reason_of_their_own(raw: str) -> None:
    with pytest.raises(RealmFault) as refused:
        parse_issuer(raw, policy=STRICT)
    assert refused.value.reason == "HasQueryOrFragment"


def test_plain_http_is_for_listed_hosts_only() -> None:
    for raw in ("http://localhost/realms/a", "http://localhost:443/realms/a", "http://other:8080/realms/a"):
        with pytest.raises(RealmFault) as refused:
            parse_issuer(raw, policy=LOCAL)
        assert refused.value.reason == "SchemeNotHttps"


def test_plain_http_is_allowed_to_a_listed_ipv6_address_with_its_port() -> None:
    policy = target_policy(
        insecure_http_hosts=("[::1]:8080",), allowed_private_networks=("::1/128",), allowed_ports=(8080,)
    )
    assert parse_issuer("http://[::1]:8080/realms/a", policy=policy).note is None


@pytest.mark.parametrize(
    "raw",
    [
        "https://admin:hunter2@id.example/realms/a",
        "https://id.example/realms/a?token=hunter2",
        "https://id.example/realms/a#hunter2",
        "https:admin:hunter2@id.example/realms/a",
        "https://admin:hunter2/x@id.example/realms/a",
        "https://admin:hunter2\\@id.example/realms/a",
    ],
)
def test_message_does_not_repeat_what_may_be_a_password(raw: str) -> None:
    with pytest.raises(RealmFault) as refused:
        parse_issuer(raw, policy=STRICT)
    assert "hunter2" not in refused.value.message
    assert "id.example" in refused.value.message


@pytest.mark.parametrize("suffix", ["/.well-known/openid-configuration", "/protocol/openid-connect/certs"])
def test_longest_issuer_can_be_fetched_from(suffix: str) -> None:
    longest = "https://id.example/realms/" + "a" * (MAX_URL_CHARACTERS - 26)
    assert parse_issuer(longest, policy=STRICT).issuer == longest
    check_target(longest + suffix, policy=STRICT)


def test_blocked_address_is_named_with_the_rule_and_the_cure() -> None:
    with pytest.raises(RealmFault) as refused:
        parse_issuer("https://169.254.169.254/realms/a", policy=STRICT)
    for part in ("169.254.169.254", "169.254.0.0/16", "TENANTS_ALLOWED_PRIVATE_NETWORKS"):
        assert part in refused.value.message


def test_message_names_what_was_given_and_the_cure() -> None:
    with pytest.raises(RealmFault) as refused:
        parse_issuer("http://id.example/realms/a", policy=STRICT)
    assert "http://id.example/realms/a" in refused.value.message
    assert "TENANTS_INSECURE_HTTP_HOSTS" in refused.value.message


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://10.1.2.3:9000/realms/a", {"INSECURE_HTTP_HOSTS", "ALLOWED_PRIVATE_NETWORKS", "ALLOWED_REALM_PORTS"}),
        (
            "http://kc.internal:9000/realms/a",
            {"INSECURE_HTTP_HOSTS", "ALLOWED_PRIVATE_NETWORKS", "ALLOWED_REALM_PORTS"},
        ),
        ("https://10.1.2.3:9000/realms/a", {"ALLOWED_PRIVATE_NETWORKS", "ALLOWED_REALM_PORTS"}),
        ("https://93.184.216.34:9000/realms/a", {"ALLOWED_REALM_PORTS"}),
    ],
)
def test_one_message_names_every_setting_that_a_private_realm_needs(url: str, settings: set[str]) -> None:
    """E20"""
    with pytest.raises(RealmFault) as refused:
        parse_issuer(url, policy=STRICT)

    named = {"INSECURE_HTTP_HOSTS", "ALLOWED_PRIVATE_NETWORKS", "ALLOWED_REALM_PORTS"}
    assert {name for name in named if f"TENANTS_{name}" in refused.value.message} == settings
