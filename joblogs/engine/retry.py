"""When a failed job runs again."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import attr
from django.utils import timezone
from procrastinate import BaseRetryStrategy, RetryDecision

if TYPE_CHECKING:
    from procrastinate.jobs import Job


@attr.dataclass(frozen=True, kw_only=True)
class ExponentialBackoff(BaseRetryStrategy):
    """Retry after 2 s, 6 s, 18 s, 54 s, 162 s, 486 s, 24 min, and then hourly, ten times in all.

    The first retries ride out a deadlock or a failover, the later ones a deploy and the time
    somebody needs to mend what is broken; after some 4 hours the job stays failed and visible.
    Each wait is spread by a quarter either way, so that jobs that failed together do not come
    back together.
    """

    first: float = 2.0  # seconds
    factor: float = 3.0
    longest: float = 3_600.0  # seconds
    jitter: float = 0.25
    max_retries: int = 10

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if job.attempts >= self.max_retries:
            return None
        wait = min(self.first * self.factor**job.attempts, self.longest)
        wait *= random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311  # spreads waits, no secret
        return RetryDecision(retry_at=timezone.now() + timedelta(seconds=wait))
