"""Keep secrets out of what is shown and logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "[redacted]"


def is_secret(name: str) -> bool:
    """Tell whether an argument's name contains a word of JOBLOGS_REDACTED_ARGUMENTS.

    Case, hyphens and underscores do not matter: `api_key` covers `apiKey` and `X-Api-Key`.
    """
    plain = _plain(name)
    return any(_plain(word) in plain for word in settings.JOBLOGS_REDACTED_ARGUMENTS)


def redact(value: Any) -> Any:
    """Return a copy of a JSON value, masked wherever a secret name leads to it, at any depth."""
    if isinstance(value, dict):
        return {
            name: MASK if is_secret(str(name)) else redact(inner) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [redact(inner) for inner in value]
    return value


def call_string(task_name: str, job_id: int | None, arguments: Mapping[str, Any]) -> str:
    """Return what Procrastinate calls a job in its log, `task[id](name=value)`, redacted."""
    shown = ", ".join(f"{name}={value!r}" for name, value in redact(dict(arguments)).items())
    return f"{task_name}[{job_id}]({shown})"


class RedactedArguments(logging.Filter):
    """Masks the jobs' arguments in the text and in the fields of Procrastinate's own records."""

    def filter(self, record: logging.LogRecord) -> bool:
        job = getattr(record, "job", None)
        for context in [*getattr(record, "jobs", []), *([job] if job else [])]:
            told = context["call_string"]
            context["call_string"] = call_string(
                context["task_name"], context["id"], context["task_kwargs"]
            )
            context["task_kwargs"] = redact(context["task_kwargs"])
            record.msg = str(record.msg).replace(told, context["call_string"])
        if hasattr(record, "kwargs"):
            record.kwargs = redact(record.kwargs)
        return True


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
