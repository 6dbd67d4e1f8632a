"""What a scrape shows."""

from __future__ import annotations

from tenants_api.observability.metrics import Metrics


def test_scrape_shows_every_metric_of_the_contract() -> None:
    metrics = Metrics()
    metrics.token_verified("refused", reason="unknown_issuer", seconds=0.0002)
    metrics.jwks_fetched("success", seconds=0.02)
    metrics.restarted("registry changes")
    metrics.watch("registry_version", lambda: 7, about="version", across="livemin")
    counts = {("healthy", "live"): 3, ("failing", "none"): 1}
    metrics.watch_each("jwks_realms", lambda: counts, about="realms", labels=("health", "source"), across="livemax")
    metrics.http_answered(method="GET", route="/v1/me", status=200)

    body, content_type = metrics.render()

    text = body.decode("utf-8")
    assert content_type.startswith("text/plain")
    assert 'tenants_token_verifications_total{reason="unknown_issuer",result="refused"} 1.0' in text
    assert 'tenants_jwks_fetches_total{result="success"} 1.0' in text
    assert 'tenants_http_requests_total{method="GET",route="/v1/me",status="200"} 1.0' in text
    assert 'tenants_jwks_fetch_duration_seconds_bucket{le="0.025"} 1.0' in text
    assert 'tenants_background_restarts_total{task="registry changes"} 1.0' in text
    assert "tenants_registry_version 7.0" in text
    assert 'tenants_jwks_realms{health="failing",source="none"} 1.0' in text
    assert 'tenants_verify_duration_seconds_bucket{le="0.00025"} 1.0' in text
    assert "tenants_jwks_last_success_timestamp_seconds 0.0" not in text


def test_two_processes_in_one_interpreter_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.token_verified("accepted", seconds=0.0002)

    assert b"tenants_token_verifications_total{" not in two.render()[0]
