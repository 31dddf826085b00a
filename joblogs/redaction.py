"""Keep secrets out of what is shown and logged."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "[redacted]"
DEEPEST = 50  # levels


def is_secret(name: str) -> bool:
    """Tell whether an argument's name contains a word of JOBLOGS_REDACTED_ARGUMENTS.

    Only letters and digits matter, and not their case: `api_key` covers `apiKey` and `X-Api-Key`.
    """
    return _contains(name, tuple(settings.JOBLOGS_REDACTED_ARGUMENTS))


def redact(value: Any, depth: int = 0) -> Any:
    """Return a copy of a JSON value, masked wherever a secret name leads to it, at any depth.

    What lies deeper than anybody reads is masked as a whole.
    """
    if depth > DEEPEST and isinstance(value, dict | list | tuple):
        return MASK
    match value:
        case dict():
            return {
                name: MASK if is_secret(str(name)) else redact(inner, depth + 1)
                for name, inner in value.items()
            }
        case list():
            return [redact(inner, depth + 1) for inner in value]
        case tuple():
            return tuple(redact(inner, depth + 1) for inner in value)
    return value


def mask_secrets(value: Any, arguments: Any) -> Any:
    """Return a text, or a JSON value, in which the values of secret arguments are masked.

    Values of fewer than four characters stay: masking them would garble the text and hide little.
    """
    # The longest first: one may be a part of another.
    secrets = sorted(_secrets(arguments), key=len, reverse=True)
    return _mask(value, secrets) if secrets else value


def _mask(value: Any, secrets: list[str]) -> Any:
    match value:
        case str():
            for secret in secrets:
                value = value.replace(secret, MASK)
            return value
        case dict():
            return {_mask(name, secrets): _mask(inner, secrets) for name, inner in value.items()}
        case list() | tuple():
            return [_mask(inner, secrets) for inner in value]
    return MASK if str(value) in secrets else value


def _secrets(value: Any, secret: bool = False, depth: int = 0) -> set[str]:
    if depth > DEEPEST:
        return set()
    match value:
        case dict():
            inner = (_secrets(v, secret or is_secret(str(k)), depth + 1) for k, v in value.items())
        case list():
            inner = (_secrets(v, secret, depth + 1) for v in value)
        case str() | int() | float() if secret and len(str(value)) >= 4 and value is not True:
            return {str(value)}
        case _:
            return set()
    return set().union(*inner)


def call_string(task_name: str, job_id: int | None, redacted: Mapping[str, Any]) -> str:
    """Return what Procrastinate calls a job in its log: `task[id](name=value)`."""
    shown = ", ".join(f"{name}={value!r}" for name, value in redacted.items())
    return f"{task_name}[{job_id}]({shown})"


class RedactedArguments(logging.Filter):
    """Masks the jobs' arguments in the text and in the fields of Procrastinate's own records."""

    def filter(self, record: logging.LogRecord) -> bool:
        job = getattr(record, "job", None)
        for context in [*getattr(record, "jobs", []), *([job] if job else [])]:
            told, redacted = context["call_string"], redact(context["task_kwargs"])
            context["task_kwargs"] = redacted
            context["call_string"] = call_string(context["task_name"], context["id"], redacted)
            record.msg = str(record.msg).replace(told, context["call_string"])
        if hasattr(record, "kwargs"):
            record.kwargs = redact(record.kwargs)
        return True


@lru_cache(maxsize=10_000)
def _contains(name: str, words: tuple[str, ...]) -> bool:
    return any(_plain(word) in _plain(name) for word in words)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
