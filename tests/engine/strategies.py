"""What may be deferred, served and retried in the property test."""

from __future__ import annotations

from hypothesis import strategies as st
from procrastinate.jobs import Job as DeferredJob

from tests.engine.model import NEXT_WEEK, PAST, TOMORROW, Retry

QUEUES = ("high", "default", "low")
LOCKS = ("x", "y")

some_queues = st.none() | st.sets(st.sampled_from(QUEUES), min_size=1).map(sorted)
priorities = st.sampled_from([0, 0, -1, 5])
times = st.sampled_from([PAST, PAST, PAST, PAST, TOMORROW, NEXT_WEEK])
retries = st.builds(
    Retry,
    times,
    st.none() | priorities,
    st.none() | st.sampled_from(QUEUES),
    st.none() | st.sampled_from(LOCKS),
)
deferred_jobs = st.builds(
    DeferredJob,
    task_name=st.sampled_from(["one", "mail"]),
    queue=st.sampled_from(QUEUES),
    priority=priorities,
    lock=st.none() | st.sampled_from(LOCKS),
    queueing_lock=st.none() | st.none() | st.sampled_from(["q", "r"]),
    scheduled_at=st.none() | st.none() | times,
)
