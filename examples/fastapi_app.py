"""A FastAPI application with a scheduler: jobs are coroutine functions on the application's own event loop.

    python examples/fastapi_app.py                                     # two workers on port 8000
    uvicorn --app-dir examples --workers 4 fastapi_app:app             # the same, with four

The jobs are in a SQLite file, which the workers share: one of them gets each run, however many there are. The directory
of the file is that of EXAMPLE_JOBS, or one for temporary files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from gsched import AsyncIOScheduler, current_run

JOBS = os.environ.get("EXAMPLE_JOBS") or Path(tempfile.gettempdir(), f"gsched-fastapi-{os.getuid()}")

scheduler = AsyncIOScheduler.embedded(JOBS, modules=["fastapi_app"])


async def tick() -> None:
    """A recurring job."""
    await asyncio.sleep(0.01)  # other requests and jobs go on meanwhile
    print(f"{current_run().scheduled_at:%H:%M:%S.%f} tick in worker {os.getpid()}", flush=True)


async def greet(name: str) -> None:
    """A job that a request adds."""
    print(f"hello {name} from worker {os.getpid()}", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Each worker starts its scheduler before the first request, and stops it after the last."""
    scheduler.start()
    await scheduler.aio.add_job(tick, "interval", seconds=0.5, id="tick", replace_existing=True)
    yield
    await scheduler.ashutdown(timeout=5)


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def show() -> dict[str, Any]:
    jobs = await scheduler.aio.get_jobs()
    return {"worker": os.getpid(), "jobs": {job.id: job.next_run_time for job in jobs}}


@app.post("/greetings/{name}")
async def add(name: str) -> dict[str, str]:
    job = await scheduler.aio.add_job(greet, args=[name])
    return {"added": job.id}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    options = parser.parse_args()
    uvicorn.run("fastapi_app:app", port=options.port, workers=options.workers)


if __name__ == "__main__":
    main()
