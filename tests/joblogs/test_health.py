"""`manage.py health`: a line for each check, and an exit status for probes."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import User
from joblogs.models import Job, JobQueue, JobWorker
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import add_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import WorkerProcess

    Health = Callable[..., tuple[int, list[str]]]

# The command looks from a thread with a connection of its own.
pytestmark = pytest.mark.django_db(transaction=True)

HERE = socket.gethostname()


@pytest.fixture
def health(capsys: pytest.CaptureFixture[str]) -> Health:
    """Run the command with these flags; return its exit status and its lines."""

    def run(*flags: str) -> tuple[int, list[str]]:
        status = 0
        try:
            call_command("health", *flags)
        except SystemExit as end:
            status = int(end.code or 0)
        return status, capsys.readouterr().out.splitlines()

    return run


def verdicts(lines: list[str]) -> dict[str, bool]:
    """Return by its name whether each check was ok."""
    heads = [line.partition(":")[0].split(maxsplit=1) for line in lines]
    return {name: verdict == "ok" for verdict, name in heads}


def add_waiting_job(seconds: int, queue: str = "default") -> int:
    user = User.objects.create_user(f"{queue}-{seconds}")
    job = Job.objects.get(args={"user_id": user.pk})
    execute("UPDATE procrastinate_jobs SET queue_name = %s WHERE id = %s", queue, job.pk)
    execute(
        "UPDATE procrastinate_events SET at = at - make_interval(secs => %s) WHERE job_id = %s",
        seconds,
        job.pk,
    )
    return int(job.pk)


def test_when_all_is_well_it_says_so_line_by_line(
    health: Health,
) -> None:
    add_worker()
    status, [database, workers, oldest] = health()
    assert status == 0
    assert database.startswith("ok     database: answered in ")
    assert database.endswith(" ms, at most 5 s")
    assert workers == "ok     workers: 1 alive, at least 1"
    assert oldest == "ok     oldest ready job: none, at most 300 s"


@pytest.mark.parametrize(
    ("stock", "silent_for", "alive"),
    [(False, 17, True), (False, 21, False), (True, 27, True), (True, 31, False)],
)
def test_a_worker_that_is_silent_does_not_count(
    health: Health, stock: bool, silent_for: int, alive: bool
) -> None:
    add_worker(stock=stock, silent_for=silent_for)
    status, lines = health()
    assert status == (0 if alive else 1)
    assert verdicts(lines)["workers"] == alive


def test_it_tells_of_workers_that_are_apart(
    health: Health,
) -> None:
    add_worker()
    add_worker(stock=True)
    for state in ("quiet", "draining", "draining"):
        add_worker(state=state)
    _, lines = health("--min-workers=6")
    notes = "1 of stock Procrastinate, 1 quiet, 2 draining"
    assert lines[1] == f"FAILED workers: 5 alive ({notes}), at least 6"


def test_as_many_workers_as_wanted_have_to_be_alive(
    health: Health,
) -> None:
    assert health("--min-workers=0")[0] == 0
    add_worker()
    assert health("--min-workers=2")[0] == 1
    add_worker()
    assert health("--min-workers=2")[0] == 0


def test_each_queue_that_is_named_has_to_be_served(
    health: Health,
) -> None:
    add_worker(queues=["high", "mail"])
    add_worker(queues=None)
    flags = ("--queues", "high,mail,default", "--min-workers=2")
    status, lines = health(*flags)
    assert status == 1
    assert lines[2:5] == [
        "ok     queue high: served by 2, at least 2",
        "ok     queue mail: served by 2, at least 2",
        "FAILED queue default: served by 1, at least 2",
    ]
    add_worker(queues=["default"])
    assert health(*flags)[0] == 0


@pytest.mark.parametrize("state", ["quiet", "draining"])
def test_a_worker_that_takes_no_new_jobs_serves_no_queue(health: Health, state: str) -> None:
    add_worker(state=state)
    told = verdicts(health("--queues=mail")[1])
    assert (told["workers"], told["queue mail"]) == (True, False)


def test_what_stock_workers_serve_is_not_known(
    health: Health,
) -> None:
    add_worker(stock=True)
    _, lines = health("--queues=mail")
    note = "perhaps also by 1 of stock Procrastinate"
    assert lines[2] == f"FAILED queue mail: served by 0 ({note}), at least 1"


def test_a_job_that_is_ready_for_too_long_is_told(
    health: Health,
) -> None:
    add_worker()
    pk = add_waiting_job(400)
    status, lines = health()
    assert status == 1
    assert lines[2].startswith(f"FAILED oldest ready job: {pk} in default waits for 40")
    assert lines[2].endswith(" s, at most 300 s")
    assert health("--max-age=500")[0] == 0
    JobQueue.objects.pause("default")
    assert health()[0] == 0


def test_with_queues_named_the_age_of_other_jobs_does_not_matter(
    health: Health,
) -> None:
    add_worker()
    add_waiting_job(400)
    assert health("--queues=mail")[0] == 0
    add_waiting_job(350, "mail")
    assert health("--queues=mail")[0] == 1


def test_on_this_host_only_its_own_workers_matter_and_no_backlog(
    health: Health,
) -> None:
    add_worker(host="elsewhere", pid=7)
    add_worker(stock=True)
    add_waiting_job(400)
    status, lines = health("--this-host")
    assert status == 1
    assert lines[1:] == ["FAILED workers: 0 alive on this host, at least 1"]
    add_worker(host=HERE, pid=7)
    assert health("--this-host")[0] == 0
    assert health("--this-host", "--max-age=300")[0] == 1


def test_a_process_is_asked_for_by_its_id(health: Health) -> None:
    add_worker(host="elsewhere", pid=7)
    add_worker(host=HERE, pid=8)
    status, lines = health("--pid=7")
    assert status == 1
    assert lines[1:] == ["FAILED workers: 0 alive in process 7 of this host, at least 1"]
    assert health("--pid=8")[0] == 0


def test_json_has_it_all_in_numbers(health: Health) -> None:
    add_worker()
    pk = add_waiting_job(400)
    status, [line] = health("--json")
    told = json.loads(line)
    assert (status, told["ok"]) == (1, False)
    database, workers, oldest = told["checks"]
    assert database["ok"]
    assert 0 < database["value"] < database["limit"] == 5
    assert workers == {
        "name": "workers",
        "ok": True,
        "message": "1 alive, at least 1",
        "value": 1,
        "limit": 1,
    }
    assert not oldest["ok"]
    assert oldest["message"].startswith(f"{pk} in default")
    assert 400 <= oldest["value"] < 420
    assert oldest["limit"] == 300


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--min-workers=-1", "'-1' is no whole number of at least 0"),
        ("--min-workers=x", "'x' is no whole number of at least 0"),
        ("--pid=0", "'0' is no whole number of at least 1"),
        ("--queues=", "'' has an empty name in it"),
        ("--queues=high,,low", "'high,,low' has an empty name in it"),
        ("--max-age=0", "'0' is no number of seconds above 0"),
        ("--max-age=nan", "'nan' is no number of seconds above 0"),
        ("--timeout=inf", "'inf' is no number of seconds above 0"),
        ("--timeout=soon", "'soon' is no number of seconds above 0"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flag: str, complaint: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("health", flag)
    assert str(refusal.value).endswith(complaint)


def test_a_worker_process_is_seen_from_its_start_to_its_end(
    health: Health, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--queues=mail")
    wait_for(JobWorker.objects.exists)
    pid = f"--pid={worker.process.pid}"
    assert health(pid, "--queues=mail")[0] == 0
    assert health(pid, "--queues=default")[0] == 1
    assert worker.stop() == 0
    assert health(pid)[0] == 1
