"""Jobs of dead workers that cannot be given back, and ids of workers that are given again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from joblogs.models import JobWorker
from tests.engine.rescues import standings
from tests.sql import execute
from tests.workers import give_to_a_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine.rescues import Given

    Add = Callable[..., int]
    Rescue = Callable[..., list[Given]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def refused(add: Add) -> Iterator[int]:
    """A job that nobody may give back."""
    job = add()
    execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no change of this job'; END; $$"
    )
    execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON procrastinate_jobs FOR EACH ROW"
        f" WHEN (old.status = 'doing' AND old.id = {job}) EXECUTE FUNCTION refuse()"
    )
    yield job
    execute("DROP FUNCTION refuse CASCADE")


def test_a_job_that_cannot_be_given_back_keeps_no_other_one(
    add: Add, rescue: Rescue, refused: int
) -> None:
    others = [add(), add()]
    worker = give_to_a_worker(others[0], refused, others[1])
    assert rescue() == [(f"worker {worker}", 2, [])]
    assert standings(*others, refused) == [("todo", 1), ("todo", 1), ("doing", 0)]


def test_a_worker_with_an_id_of_before_is_not_taken_for_that_one() -> None:
    about = (
        '{"name": "one", "host": "%s", "pid": %d, "concurrency": 1, "running": 0, "version": "1",'
        ' "state": "running", "memory": 1, "holds_lock": true, "age": %d}'
    )
    tells = "SELECT joblogs_describe_worker_v1(1, %s::jsonb)"
    execute(tells, about % ("here", 1, 600))
    began = JobWorker.objects.get().started_at
    execute(tells, about % ("here", 1, 601))
    assert JobWorker.objects.get().started_at == began
    execute(tells, about % ("there", 2, 5))
    worker = JobWorker.objects.get()
    assert (worker.host, worker.pid) == ("there", 2)
    assert worker.started_at > began
