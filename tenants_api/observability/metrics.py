"""The Prometheus metrics of one process, in a registry of their own, so that two applications in one test differ.

No metric has a tenant label: a hundred thousand tenants would be a hundred thousand series. Reasons and routes are
from fixed lists; nothing that a caller sent becomes a label. Knows nothing of what it counts.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

FETCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds; a fetch has 5 s


class Metrics:
    """Every metric of a process.

    token_verifications{result, reason}   result: accepted | refused; reason: `none` or the refusal's stable reason
    jwks_fetches{result}                  result: success | failure
    jwks_fetch_duration                   seconds of one fetch
    registry_version, registry_lag        the version applied here; seconds since the feed last looked
    registry_listening                    1 while PostgreSQL notifies of changes, 0 while they are polled for alone
    http_requests{method, route, status}  route: the route's template, `none` where nothing matched
    verified_tokens                       principals in the verified-token cache
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.token_verifications = Counter(
            "tenants_token_verifications", "Verified tokens", ["result", "reason"], registry=self.registry
        )
        self.jwks_fetches = Counter(
            "tenants_jwks_fetches", "Fetches of a realm's key set", ["result"], registry=self.registry
        )
        self.jwks_fetch_duration = Histogram(
            "tenants_jwks_fetch_duration_seconds",
            "Time of one fetch of a realm's key set",
            buckets=FETCH_BUCKETS,
            registry=self.registry,
        )
        self.registry_version = Gauge(
            "tenants_registry_version", "Registry version that this process applied", registry=self.registry
        )
        self.registry_lag = Gauge(
            "tenants_registry_lag_seconds",
            "Seconds since the change feed last saw the database",
            registry=self.registry,
        )
        self.registry_listening = Gauge(
            "tenants_registry_listening",
            "1 while PostgreSQL notifies of changes, 0 while they are polled for alone",
            registry=self.registry,
        )
        self.http_requests = Counter(
            "tenants_http_requests", "Answered HTTP requests", ["method", "route", "status"], registry=self.registry
        )
        self.verified_tokens = Gauge(
            "tenants_verified_tokens", "Tokens in the verified-token cache", registry=self.registry
        )
        self._add_process()

    def _add_process(self) -> None:
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def token_verified(self, result: str, *, reason: str = "none") -> None:
        """One verification: `accepted`, or `refused` for a reason."""
        self.token_verifications.labels(result, reason).inc()

    def jwks_fetched(self, result: str) -> None:
        """One fetch of a key set: `success` or `failure`."""
        self.jwks_fetches.labels(result).inc()

    def http_answered(self, *, method: str, route: str, status: int) -> None:
        """One answer; `route` is the template, never the path that a caller sent."""
        self.http_requests.labels(method, route, str(status)).inc()

    def render(self) -> tuple[bytes, str]:
        """The exposition for a scrape: body and content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
