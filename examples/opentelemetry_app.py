"""Traces with OpenTelemetry that survive the fork: each worker sets its exporter up for itself.

    pip install uvicorn-worker opentelemetry-sdk opentelemetry-instrumentation-asgi
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples opentelemetry_app:app
    curl http://127.0.0.1:8000/ -H "traceparent: 00-$(openssl rand -hex 16)-00000000000000aa-01"

Spans are sent in batches by a thread, and no thread survives a fork: made while the module is
imported, it would be missing in all workers of `--preload`. So everything is made in lifespan
startup, which runs in the worker, and flushed in its shutdown. Here spans are printed; for a
collector take OTLPSpanExporter of the package opentelemetry-exporter-otlp.

With `--log-format json`, or a format with `%({traceparent}i)s`, access lines name the same trace.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]


def start_tracing() -> TracerProvider:
    """Return what makes spans in this process; its name tells the workers apart."""
    names = {"service.name": "shop", "service.instance.id": f"worker-{os.getpid()}"}
    provider = TracerProvider(resource=Resource.create(names))
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    return provider


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and do a part of the work in a span of its own."""
    tracer = scope["state"]["tracing"].get_tracer(__name__)
    with tracer.start_as_current_span("look the greeting up"):
        body = b"Hello, trace %032x!\n" % trace.get_current_span().get_span_context().trace_id
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    provider = start_tracing()
    scope["state"]["tracing"] = provider
    scope["state"]["traced"] = OpenTelemetryMiddleware(greet, tracer_provider=provider)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    provider.shutdown()  # sends what waits
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await scope["state"]["traced"](scope, receive, send)
