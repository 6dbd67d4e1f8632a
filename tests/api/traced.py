"""What telemetry gets of requests with tokens, as JSON on stdout; `test_telemetry` runs it as a process of its own."""

from __future__ import annotations

import json

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tenants_api import CurrentPrincipal, create_app
from tenants_api.testing import memory_registry
from tests.support.realms import dev_realms

PATHS = (
    "/v1/me",
    "/t/acme/v1/me",
    "/nowhere",
    "/public",
    "/v1/items",
    "/broken",
    "/authz",
    "/admin/v1/tenants",
    "/admin/v1/tenants/x",
    "/admin/nowhere",
)
router = APIRouter()
plain = FastAPI()


@router.get("/broken")
async def broken(principal: CurrentPrincipal, text: str = "") -> None:
    raise ZeroDivisionError(text)


@plain.get("/x")
async def nothing() -> None: ...


class Exported:
    """What both exporters have got since the last look."""

    def __init__(self) -> None:
        self._spans, self._records = InMemorySpanExporter(), InMemoryLogRecordExporter()
        tracing, logging = TracerProvider(), LoggerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        logging.add_log_record_processor(SimpleLogRecordProcessor(self._records))
        trace.set_tracer_provider(tracing)
        _logs.set_logger_provider(logging)

    def take(self) -> str:
        spans, records = self._spans.get_finished_spans(), self._records.get_finished_logs()
        found = [*(one.to_json() for one in spans), *(one.to_json() for one in records)]
        self._spans.clear()
        self._records.clear()
        return "".join(found)


def call(client: TestClient, token: str) -> list[int]:
    """Every way in which a client may send a token, the right and the wrong ones; the statuses."""
    bearer = {"Authorization": f"Bearer {token}"}
    answers = [
        client.get(path, params={"access_token": token}, headers=headers)
        for path in (*PATHS, f"/{token}")
        for headers in ({}, bearer)
    ]
    answers.append(client.get("/broken", params={"text": token}, headers=bearer))
    answers.append(client.post("/v1/items", json={"title": token * 9}, headers=bearer))
    return [answer.status_code for answer in answers]


def main() -> None:
    exported, statuses = Exported(), []
    with dev_realms("acme", "globex") as realms, memory_registry(realms) as settings:
        tokens = [realms.realm(name).mint() for name in ("acme", "globex")]
        with TestClient(create_app(settings, routers=[router], sample=True)) as client:
            for token in tokens:
                statuses += call(client, token)
    ours = exported.take()
    TestClient(plain).get("/x", params={"access_token": "canary"})
    print(json.dumps({"tokens": tokens, "statuses": statuses, "ours": ours, "plain": exported.take()}))


if __name__ == "__main__":
    main()
