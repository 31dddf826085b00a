"""What a worker that has nothing to do asks of the database."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.engine_processes.jobs import effects, job
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 10.5  # of each of a worker's beats at least one


@pytest.fixture
def statements(transactional_db: None) -> Iterator[Callable[[], list[str]]]:
    """Return the lines of the server's own log about statements of whoever connects from now on."""
    folder: Path | None = connection.settings_dict.get("EMBEDDED")
    if folder is None:
        pytest.skip("only the embedded server's log can be read")
    log = folder / "postgres.log"
    name = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    # With the lines that go on with them, which begin with a tab.
    entry = re.compile(r" LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)")
    yield lambda: entry.findall(log.read_text())
    execute(f"ALTER DATABASE {name} RESET ALL")


@pytest.mark.parametrize("flags", [[], ["--no-listen-notify"]], ids=["listening", "polling"])
def test_an_idle_worker_makes_no_more_than_one_query_a_second(
    start: Callable[..., Process], statements: Callable[[], list[str]], flags: list[str]
) -> None:
    start(*flags)
    for task in ("note", "note_together", "note_asynchronously"):
        job(task).defer(number=1)
    wait_for(lambda: len(effects()) == 3)
    job("note", schedule_in={"days": 1}).defer(number=2)
    # The last of what it does for these jobs is over when there has been nothing for a second.
    wait_until_quiet(statements)

    before = len(statements())
    time.sleep(SECONDS)  # of doing nothing, which is what this is about
    during = statements()[before:]
    assert any("joblogs_heartbeat_v1" in line for line in during)
    assert any("joblogs_fetch_jobs_v1" in line for line in during)
    assert len(during) <= SECONDS, "\n".join(during)


def wait_until_quiet(statements: Callable[[], list[str]]) -> None:
    def quiet() -> bool:
        before = len(statements())
        time.sleep(1)
        return len(statements()) == before

    wait_for(quiet)
