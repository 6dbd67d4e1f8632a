"""The metrics port against connections that send half a request, or read nothing. Real sockets."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter

from tenants_api.server.worker import MAX_SCRAPES, serve_metrics
from tests.support.processes import wait_for

HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "
FOR_EVER = 3600.0


@contextmanager
def serving(*, deadline: float = FOR_EVER, host: str = "127.0.0.1", counters: int = 1) -> Iterator[tuple[str, int]]:
    registry = CollectorRegistry()
    for number in range(counters):
        Counter(f"answers_{number}", "Answers " + "x" * 10_000, registry=registry)
    server = serve_metrics(registry, host=host, port=0, deadline=deadline)
    try:
        yield host, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def scraped(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{host}:{address[1]}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def half(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(HALF)
    return connection


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_scrape_is_answered(host: str) -> None:
    with serving(host=host) as address:
        assert "answers_0_total 0.0" in scraped(address)


def test_half_requests_keep_a_bounded_number_of_threads_and_no_scrape_waiting() -> None:
    before = threading.active_count()
    with serving() as address, ExitStack() as stack:
        opened = [stack.enter_context(half(address)) for _ in range(MAX_SCRAPES * 2)]
        assert "answers_0_total 0.0" in scraped(address)
        wait_for(lambda: threading.active_count() <= before + 1 + MAX_SCRAPES, within=30, what="threads have ended")
        assert opened[0].recv(1) == b"", "the oldest one was closed"


def test_half_request_is_closed_at_its_deadline_however_often_it_sends_a_byte() -> None:
    before = threading.active_count()
    with serving(deadline=1.0) as address, half(address) as connection:
        wait_for(lambda: threading.active_count() > before + 1, within=60, what="its thread runs")

        def ended() -> bool:
            try:
                connection.sendall(b"x")
            except OSError:
                return True
            return threading.active_count() <= before + 1

        wait_for(ended, within=30, what="the thread of the half request has ended")


def test_client_that_does_not_read_is_closed_at_its_deadline() -> None:
    before = threading.active_count()
    with serving(deadline=1.0, counters=1000) as address, socket.create_connection(address, timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: threading.active_count() > before + 1, within=60, what="its thread runs")
        wait_for(lambda: threading.active_count() <= before + 1, within=60, what="its thread has ended")
