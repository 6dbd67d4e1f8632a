"""The Prometheus metrics of one application, in a registry of their own.

Several workers of a server count into files in one folder (prometheus_client's multiprocess mode), and a scrape of any
of them, or of their parent, is of all.

No metric has a tenant label: a hundred thousand tenants would be a hundred thousand series. Reasons and routes are
from fixed lists; no value from a request becomes a label.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
PUBLISH_SECONDS = 5.0  # between two readings of the gauges, where several workers share a folder
# How a gauge is aggregated over the live workers: their sum, their highest value, or their lowest.
Across = Literal["livesum", "livemax", "livemin"]

FETCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
VERIFY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0, 5.0)  # seconds, with a fetch


class Metrics:
    """Every metric of a process.

    token_verifications{result, reason}   result: accepted | refused; reason: `none` or the refusal's stable reason
    verify_duration                       seconds of one verification of a token that was not in the cache
    jwks_fetches{result}                  result: success | failure
    jwks_fetch_duration                   seconds of one fetch, status of the realm included
    jwks_last_success                     epoch seconds of the last successful fetch, of any realm
    jwks_not_asked                        unknown kids without a refetch at once, because of the refetch limiter
    background_restarts{task}             restarts of background loops after an error
    http_requests{method, route, status}  route: the route's template, `none` where nothing matched

    Gauges are read at each scrape, see `watch`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.token_verifications = Counter(
            "tenants_token_verifications", "Verified tokens", ["result", "reason"], registry=self.registry
        )
        self.verify_duration = Histogram(
            "tenants_verify_duration_seconds",
            "Time to verify a token that was not in the cache",
            buckets=VERIFY_BUCKETS,
            registry=self.registry,
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
        self.jwks_last_success = Gauge(
            "tenants_jwks_last_success_timestamp_seconds",
            "When keys of a realm were last fetched",
            registry=self.registry,
            multiprocess_mode="max",
        )
        self.jwks_not_asked = Counter(
            "tenants_jwks_not_asked",
            "Unknown kids without a refetch at once, because of the refetch limiter",
            registry=self.registry,
        )
        self.background_restarts = Counter(
            "tenants_background_restarts", "Restarts of background loops after an error", ["task"],
            registry=self.registry,
        )  # fmt: skip
        self.http_requests = Counter(
            "tenants_http_requests", "HTTP responses", ["method", "route", "status"], registry=self.registry
        )
        self._watched: list[_Watched] = []
        self._children: dict[tuple[Counter, tuple[str | int, ...]], Counter] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def watch(self, name: str, read: Callable[[], float], *, about: str, across: Across) -> None:
        """Add a gauge `tenants_<name>` that is read at each scrape; `read` is called in another thread."""
        self.watch_each(name, lambda: {(): read()}, about=about, labels=(), across=across)

    def watch_each(
        self,
        name: str,
        read: Callable[[], Mapping[tuple[str, ...], float]],
        *,
        about: str,
        labels: Sequence[str],
        across: Across,
    ) -> None:
        """As `watch`, with labels: `read` returns all values by their labels."""
        watched = _Watched(f"tenants_{name}", about, labels=labels, read=read, across=across)
        self._watched.append(watched)
        self.registry.register(watched)

    @property
    def is_shared(self) -> bool:
        """Whether several workers share the folder of metrics."""
        return FOLDER_VARIABLE in os.environ

    async def publish(self) -> None:
        """Write the watched gauges to the shared folder every five seconds, for ever."""
        while True:
            for watched in self._watched:
                await asyncio.to_thread(watched.publish)
            await asyncio.sleep(PUBLISH_SECONDS)

    def token_verified(self, result: str, *, reason: str = "none", seconds: float | None = None) -> None:
        """Count one verification, `accepted` or `refused` for a reason; `seconds` is None for malformed credentials."""
        self._child(self.token_verifications, result, reason).inc()
        if seconds is not None:
            self.verify_duration.observe(seconds)

    def jwks_fetched(self, result: str, *, seconds: float) -> None:
        """Count one fetch of a key set, `success` or `failure`."""
        self.jwks_fetches.labels(result).inc()
        self.jwks_fetch_duration.observe(seconds)
        if result == "success":
            self.jwks_last_success.set_to_current_time()

    def restarted(self, task: str) -> None:
        """Count one restart of a background loop."""
        self.background_restarts.labels(task).inc()

    def http_answered(self, *, method: str, route: str, status: int) -> None:
        """Count one response; `route` is the template, never the path of the request."""
        self._child(self.http_requests, method, route, status).inc()

    def _child(self, counter: Counter, *labels: str | int) -> Counter:
        """`counter.labels(*labels)`, cached: that takes a lock and a string of each label."""
        child = self._children.get((counter, labels))
        if child is None:
            child = self._children[counter, labels] = counter.labels(*labels)
        return child

    def render(self) -> tuple[bytes, str]:
        """Body and content type of a scrape."""
        return generate_latest(registry_of_workers() if self.is_shared else self.registry), CONTENT_TYPE_PLAIN_0_0_4


@contextmanager
def shared_by(workers: int) -> Iterator[None]:
    """Make several workers that start in this block as new interpreters share one folder of metrics."""
    if workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="tenants-metrics-") as folder:
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER_VARIABLE]


def registry_of_workers() -> CollectorRegistry:
    """The metrics of all workers of the folder, without those of `process_` and `python_`."""
    registry = CollectorRegistry()
    registry.register(_Workers())
    return registry


class _Workers(Collector):
    """Reads the folder. Gauges of dead workers are removed first; their counters stay."""

    def collect(self) -> Iterator[Metric]:
        folder = os.environ[FOLDER_VARIABLE]
        for pid in {int(file.stem.rpartition("_")[2]) for file in Path(folder).glob("gauge_live*.db")}:
            if not _is_alive(pid):
                with suppress(FileNotFoundError):  # another scrape removed them
                    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # of prometheus_client
        yield from MultiProcessCollector(None, folder).collect()  # type: ignore[no-untyped-call]  # the same


class _Watched(Collector):
    """A gauge that is read at a scrape, or by `publish` for several workers."""

    def __init__(
        self,
        name: str,
        about: str,
        *,
        labels: Sequence[str],
        read: Callable[[], Mapping[tuple[str, ...], float]],
        across: Across,
    ) -> None:
        self._name, self._about, self._labels, self._read, self._across = name, about, labels, read, across
        self._gauge: Gauge | None = None
        self._published: set[tuple[str, ...]] = set()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, float(number))
        yield family

    def publish(self) -> None:
        if self._gauge is None:  # not before the first value: it would be 0, the lowest of all workers
            self._gauge = Gauge(
                self._name, self._about, self._labels, registry=None, multiprocess_mode=self._across
            )  # fmt: skip
        found = self._read()
        for values in self._published | found.keys():
            gauge = self._gauge.labels(*values) if values else self._gauge
            gauge.set(found.get(values, 0.0))
        self._published |= found.keys()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a process of another user has this pid
    return True
