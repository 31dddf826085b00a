"""The search of the list of jobs: by id, argument or task."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from joblogs.models import Job, UserLog
from joblogs.redaction import is_secret

HELP = "The id of a job, an argument as in user_id=71, or a part of the name of a task"
LARGEST_ID = 2**63 - 1
ABOUT_USER = 1_000

NOTHING = Q(pk__in=())
# The JSON values of which a search can be about; a number of a sane length.
LITERAL = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?|true|false|null", re.ASCII)


@dataclass(frozen=True)
class JobSearch:
    """What somebody typed into the search box."""

    #: What a job must fulfil; to be tried on a bounded number of jobs unless `is_exact`.
    condition: Q = field(default_factory=Q)
    #: Whether an index serves the condition.
    is_exact: bool = True
    #: Jobs known to match, wherever they are.
    known: tuple[int, ...] = ()
    #: Why nothing can be found, for people.
    problem: str = ""

    @classmethod
    def parse(cls, text: str) -> JobSearch:
        text = text.strip()
        if not text:
            return cls()
        if text.isascii() and text.isdecimal():
            return cls(Q(pk=int(text)) if len(text) < 20 and int(text) <= LARGEST_ID else NOTHING)
        name, equals, value = (part.strip() for part in text.partition("="))
        if equals and name:
            return cls._by_argument(name, value)
        return cls(Q(task_name__icontains=text), is_exact=False)

    @classmethod
    def _by_argument(cls, name: str, value: str) -> JobSearch:
        if is_secret(name):
            # Guessing would tell what is masked.
            return cls(NOTHING, problem=f"The argument “{name}” is secret, and not searched.")
        condition = Q(args__contains={name: value})
        known: tuple[int, ...] = ()
        if LITERAL.fullmatch(value):
            condition |= Q(args__contains={name: json.loads(value)})
            if name == "user_id" and value.isdecimal():
                known = _about_user(int(value))
        return cls(condition, is_exact=False, known=known)


def _about_user(user_id: int) -> tuple[int, ...]:
    """Return the jobs about a user that indexes find: not succeeded, or having written a log."""
    waiting: Any = Job.objects.about_user(user_id).values_list("pk", flat=True)
    logged = UserLog.objects.filter(user_id=user_id, job_id__isnull=False)
    return (*waiting[:ABOUT_USER], *logged.values_list("job_id", flat=True)[:ABOUT_USER])
