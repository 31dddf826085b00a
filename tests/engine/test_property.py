"""Whatever producers, workers and people do: no job is lost, doubled or out of order."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.machine import Fleet
from tests.waiting import wait_for


@pytest.mark.django_db(transaction=True)
def test_no_job_is_lost_doubled_or_out_of_order_whatever_happens() -> None:
    # An example is a whole story, and takes as long as many of other tests.
    examples = settings().max_examples // 10
    run_state_machine_as_test(
        Fleet,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    # The thread that wakes workers is to end before its database does.
    wait_for(lambda: all(thread.name != "joblogs-waker" for thread in threading.enumerate()))
