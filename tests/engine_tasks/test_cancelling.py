"""Who cancels a worker in a program of their own asks it to stop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.contrib.django import app

from tests.jobs import outcomes

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_that_is_cancelled_ends_when_its_jobs_have(task: Callable[..., Any]) -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert may_end.wait(20)

    job_id = task(work).defer()

    async def run_and_cancel() -> None:
        async with app.open_async():
            worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False))
            assert await asyncio.to_thread(began.wait, 20)
            worker.cancel()
            ended, _ = await asyncio.wait([worker], timeout=0.2)
            assert not ended
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await worker

    with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]  # ours
        asyncio.run(run_and_cancel())
    assert outcomes(job_id) == [(1, "succeeded")]
