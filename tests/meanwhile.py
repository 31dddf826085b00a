"""Requests that find somebody else at the same rows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.test import Client

from tests.sql import somebody_waits_for_a_lock
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model

    from accounts.models import User


def logged_in(user: User) -> Client:
    """Return a client of theirs, to whom a server's error is an answer."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def meanwhile(request: Callable[[], Any], change: Callable[[], object], held: Model) -> Any:
    """Return the answer to a request that found a row held, and the change made then."""
    rows = type(held)._default_manager.select_for_update(no_key=True)
    return overtaken(request, lambda: rows.get(pk=held.pk), change)


def overtaken(
    request: Callable[[], Any], first: Callable[[], object], then: Callable[[], object] = int
) -> Any:
    """Return the answer to a request that waits for what another transaction does first.

    What it does then, and that it commits, comes while the request waits.
    """
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(request())
        finally:
            connections.close_all()

    thread = threading.Thread(target=ask)
    with transaction.atomic():
        first()
        thread.start()
        wait_for(somebody_waits_for_a_lock)
        then()
    thread.join()
    return answers[0]
