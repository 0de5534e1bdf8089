"""Machine learning: a model that takes long to load, and inference that blocks.

    pip install fastapi
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples ml_app:app
    uvicorn-supervisor ml_app:app --app-dir examples

Then: curl http://127.0.0.1:8000/predict -H 'Content-Type: application/json' -d '{"text": "good"}'
      curl http://127.0.0.1:8000/status

- The lifespan loads the model, in a thread: the worker's heart beats on, so that `--timeout` need
  not be longer than the loading. (What limits it is the supervisor's `--timeout-boot`.)
- A worker is not ready, and gets no request, before its model is there. In a reload the old workers
  serve until then; memory has to have room for one more model meanwhile.
- Inference has threads of its own, as many as the model can use at once. The event loop stays free
  for other requests, and the default thread pool for sync routes.
- A client is refused at once, with 503, where it would have to queue for long.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS", "2"))  # stands for gigabytes from a disk
INFERENCE_SECONDS = float(os.environ.get("INFERENCE_SECONDS", "0.1"))  # and this for a GPU's work
THREADS = 2
QUEUE = 2 * THREADS  # requests that may wait for a thread: each waits two inferences at the most

LESSONS = {
    "positive": (
        "good so good",
        "what a wonderful day",
        "I love it",
        "great work and fine weather",
    ),
    "negative": ("bad so bad", "what a terrible day", "I hate it", "poor work and ugly weather"),
}


class Model:
    """Knows how often each word stood in which lesson. Yours has more parameters."""

    def __init__(self) -> None:
        time.sleep(LOAD_SECONDS)
        self.counts = {label: Counter(" ".join(texts).split()) for label, texts in LESSONS.items()}

    def predict(self, text: str) -> str:
        """Return the label whose lessons have most of the words; blocks like the real thing."""
        time.sleep(INFERENCE_SECONDS)
        words = text.lower().split()
        return max(self.counts, key=lambda label: sum(self.counts[label][word] for word in words))


@dataclass
class Service:
    """The model, the threads in which it runs, and how many requests it has."""

    model: Model
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    requests: int = 0

    async def predict(self, text: str) -> str:
        """Return the model's answer as soon as a thread has had time for it.

        Raises:
            HTTPException: too many wait already.
        """
        if self.requests >= THREADS + QUEUE:
            raise HTTPException(503, "busy", headers={"Retry-After": "1"})
        self.requests += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.threads, self.model.predict, text)
        finally:
            self.requests -= 1


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Service]]:
    """Load the model; at the end let the threads finish what they have."""
    started = time.monotonic()
    service = Service(await asyncio.to_thread(Model))
    log.info("model loaded in %.1f s", time.monotonic() - started)
    with service.threads:
        yield {"service": service}
    log.info("inference threads have ended")


app = FastAPI(lifespan=lifespan)


def the_service(request: Request) -> Service:
    """Return what the lifespan has made."""
    service: Service = request.state.service
    return service


TheService = Annotated[Service, Depends(the_service)]


class Question(BaseModel):
    """What a client sends."""

    text: str


@app.post("/predict")
async def predict(question: Question, service: TheService) -> dict[str, str]:
    """Say whether the text is positive or negative."""
    return {"label": await service.predict(question.text)}


@app.get("/status")
async def status(service: TheService) -> dict[str, int]:
    """Say how many predictions this worker is at; answers while all of them block."""
    return {"pid": os.getpid(), "requests": service.requests}
