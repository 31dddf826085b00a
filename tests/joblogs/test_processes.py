"""`manage.py procrastinate worker --processes 2`, as it is run."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from joblogs.engine.stopping import ONE_REQUEST
from joblogs.models import JobLog, UserLog, Worker
from joblogs.processes import next_pause
from joblogs.tasks import create_user_log
from tests.jobs import jobs_of
from tests.processes import Process, database_url
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import WorkerProcess

UNREACHABLE = "postgresql://nobody:secret@127.0.0.1:1/nothing"
# Starts a command in a process group of its own, as a shell at a terminal does.
IN_A_GROUP = (
    "import os, sys; os.setpgid(0, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)

pytestmark = pytest.mark.django_db(transaction=True)


class FleetProcess(Process):
    """`manage.py procrastinate worker --processes 2`."""

    def __init__(self, *flags: str, url: str, log: Path, prefix: tuple[str, ...] = ()) -> None:
        command = (*prefix, "manage.py", "procrastinate", "worker", "--processes", "2", *flags)
        super().__init__(*command, url=url, log=log, forked=False)

    def wait_until_ready(self, workers: int = 2) -> None:
        """Wait until so many workers have started, those that ended since among them."""
        # By then they have registered and will not lose a signal.
        started = "Starting worker"
        wait_for(lambda: self.log.count(started) >= workers or self.has_ended)
        assert not self.has_ended, self.log

    @property
    def workers(self) -> dict[str, int]:
        """The process that was started last under each name."""
        started = re.findall(r"joblogs\.processes: (\S+) started \(process (\d+)\)", self.log)
        return {name: int(process) for name, process in started}


@pytest.fixture
def start_fleet(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., FleetProcess]]:
    fleets: list[FleetProcess] = []

    def start(
        *flags: str, url: str | None = None, prefix: tuple[str, ...] = (), ready: bool = True
    ) -> FleetProcess:
        log = tmp_path / f"fleet-{len(fleets)}.log"
        fleets.append(FleetProcess(*flags, url=url or database_url(), log=log, prefix=prefix))
        if ready:
            fleets[-1].wait_until_ready()
        return fleets[-1]

    yield start
    for fleet in fleets:
        fleet.stop()


def assert_one_log_each(users: list[User]) -> None:
    wait_for(lambda: UserLog.objects.count() >= len(users))
    logged = sorted(UserLog.objects.values_list("user_id", flat=True))
    assert logged == sorted(user.pk for user in users)


def processes_at_work() -> list[int]:
    """Return which process wrote each log of a user, rather than did some periodic task."""
    logs = JobLog.objects.filter(task_name=create_user_log.name)
    return [int(log.worker.rpartition(":")[2]) for log in logs]


@contextmanager
def unfinished_jobs() -> Iterator[None]:
    """Keep the jobs that write logs under way."""
    with psycopg.connect(database_url()) as somebody:
        somebody.execute("LOCK TABLE user_logs IN ACCESS EXCLUSIVE MODE")
        yield


def create_user_in_work(name: str) -> User:
    user = User.objects.create_user(name)
    wait_for(lambda: [job.status for job in jobs_of(user.pk)] == ["doing"])
    return user


def assert_each_does_a_job(fleet: FleetProcess) -> None:
    """Have two jobs done, of which each worker, doing one at a time, can take only one."""
    with unfinished_jobs():
        users = [create_user_in_work("alice"), create_user_in_work("bob")]
    assert_one_log_each(users)
    wait_for(lambda: len(processes_at_work()) == 2)
    assert set(processes_at_work()) == set(fleet.workers.values())


def test_two_workers_write_one_log_for_each_user_and_stop(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    fleet = start_fleet("-c", "4", "-q", "high,default")
    assert Worker.objects.count() == 2
    users = [User.objects.create_user(f"user{number}") for number in range(50)]
    assert_one_log_each(users)
    assert fleet.stop() == 0
    assert Worker.objects.count() == 0
    assert list(fleet.workers) == ["worker-1", "worker-2"]
    for name, process in fleet.workers.items():
        assert f"{name} (process {process}) ended with status 0" in fleet.log
    assert fleet.log.count("Stopped worker on queues high, default") == 2
    assert "SIGTERM received" in fleet.log
    assert "Traceback" not in fleet.log


def test_each_worker_does_jobs(start_fleet: Callable[..., FleetProcess]) -> None:
    fleet = start_fleet("-c", "1")
    assert_each_does_a_job(fleet)
    assert fleet.stop() == 0


def test_ctrl_c_reaches_each_worker_once_and_jobs_are_finished(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    fleet = start_fleet(prefix=("-c", IN_A_GROUP))
    with unfinished_jobs():
        user = create_user_in_work("alice")
        os.killpg(fleet.process.pid, signal.SIGINT)
        wait_for(lambda: "Waiting for jobs to end" in fleet.log)
        # That of the other one, which had nothing to do.
        wait_for(lambda: "ended with status 0" in fleet.log)
    assert fleet.process.wait(timeout=90) == 0
    assert fleet.log.count("SIGINT received") == 1
    assert fleet.log.count("Stop requested") == 2
    assert "once more" not in fleet.log
    assert [job.status for job in jobs_of(user.pk)] == ["succeeded"]
    assert_one_log_each([user])


def test_a_second_signal_is_handed_on_and_jobs_are_given_back(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    fleet = start_fleet("--shutdown-graceful-timeout", "600")
    with unfinished_jobs():
        user = create_user_in_work("alice")
        # That of a terminal that was closed.
        fleet.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Waiting for jobs to end" in fleet.log)
        time.sleep(ONE_REQUEST + 0.1)  # the distance of the signals is what this is about
        fleet.process.send_signal(signal.SIGTERM)
        assert fleet.process.wait(timeout=90) == 0
        assert [job.status for job in jobs_of(user.pk)] == ["todo"]
    assert "Asked to stop once more: leaving now" in fleet.log
    assert Worker.objects.count() == 0
    assert not UserLog.objects.exists()


def test_workers_killed_or_stopped_by_somebody_are_replaced(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    fleet = start_fleet("-c", "1", "--name", "mail")
    killed, stopped = fleet.workers["mail-1"], fleet.workers["mail-2"]
    os.kill(killed, signal.SIGKILL)
    os.kill(stopped, signal.SIGTERM)
    fleet.wait_until_ready(4)
    assert (
        f"mail-1 (process {killed}) ended with signal Killed, starting it again in 1 s" in fleet.log
    )
    assert f"mail-2 (process {stopped}) ended with status 0, starting it again in 1" in fleet.log
    assert_each_does_a_job(fleet)
    assert fleet.stop() == 0


def test_workers_that_cannot_start_are_tried_ever_less_often(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    fleet = start_fleet(url=UNREACHABLE, ready=False)
    twice = "ended with status 1, starting it again in 2 s"
    wait_for(lambda: fleet.log.count(twice) == 2)
    assert fleet.log.count("ended with status 1, starting it again in 1 s") == 2
    assert fleet.stop() == 1


def test_pauses_grow_to_30_s_and_are_forgotten_after_a_minute() -> None:
    pauses = [0.0]
    while len(pauses) < 8:
        pauses.append(next_pause(pauses[-1], lived=59))
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]
    assert next_pause(30, lived=60) == 0


def test_workers_stop_in_order_when_their_parent_is_killed(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    fleet = start_fleet()
    fleet.process.kill()
    fleet.process.wait()
    wait_for(lambda: fleet.log.count("Stopped worker") == 2)
    assert Worker.objects.count() == 0


def test_with_one_shot_all_work_is_done_and_all_end(
    start_fleet: Callable[..., FleetProcess],
) -> None:
    users = [User.objects.create_user(f"user{number}") for number in range(20)]
    fleet = start_fleet("--one-shot", ready=False)
    assert fleet.process.wait(timeout=90) == 0
    assert fleet.log.count("Starting worker") == fleet.log.count("ended with status 0") == 2
    assert "again" not in fleet.log
    assert_one_log_each(users)


def test_one_process_is_a_worker_without_a_parent(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    worker = start_worker("--processes=1")
    User.objects.create_user("alice")
    assert wait_for(processes_at_work) == [worker.process.pid]
    assert worker.stop() == 0
    assert "Stopped worker on all queues" in worker.log
    assert "joblogs.processes" not in worker.log


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", ""])
def test_a_number_of_processes_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("procrastinate", "worker", "--processes", number)
    message = f"Error: argument --processes: {number!r} is no whole number of at least 1"
    assert str(refusal.value) == message


def test_only_a_command_line_of_its_own_is_run_in_many_processes() -> None:
    with pytest.raises(CommandError, match="needs a command line of its own"):
        call_command("procrastinate", "worker", "--processes=2")


def test_the_help_tells_of_processes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("procrastinate", "worker", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--processes N Number of such workers to run, each in a process" in text
    assert "lifeline" not in text
