"""What the engine rests on in Procrastinate is as it was when somebody last looked at it."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import re
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate import sql
from procrastinate.contrib.django import app
from procrastinate.contrib.django.db_cleanup import (
    close_db_connections,
    close_db_connections_async,
)

import joblogs.engine
from joblogs.engine.app import EngineApp
from joblogs.engine.connections import keep_connections, keep_connections_async
from joblogs.engine.connectors import DjangoConnector, WorkerConnector
from joblogs.engine.manager import JobManager
from joblogs.engine.seams import SEAMS
from joblogs.engine.worker import Worker
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Iterator


ENGINE = Path(joblogs.engine.__file__).parent
SCHEMA = resources.files("procrastinate.sql").joinpath("schema.sql").read_text()
TRIGGER = "procrastinate_jobs_notify_queue_job_inserted_v1"


def definition_of(name: str) -> str:
    """Return the source of a seam. Raises LookupError when Procrastinate does not have it."""
    kind, _, path = name.partition(":")
    if kind == "query":
        return sql.queries[path]
    if kind == "sql":
        return in_schema(path)
    found: Any = importlib.import_module(f"procrastinate.{kind}")
    *owners, last = path.split(".")
    for owner in owners:
        found = getattr(found, owner, None)
    if hasattr(found, last):
        found = getattr(found, last)
        return inspect.getsource(found)
    # An attribute of instances is what is done with it.
    uses = [line for line in inspect.getsource(found).splitlines() if f"self.{last}" in line]
    if not uses:
        raise LookupError(name)
    return "\n".join(uses)


def in_schema(name: str) -> str:
    """Return the statement that creates this in Procrastinate's schema."""
    created = re.search(
        rf"^CREATE (?:FUNCTION {name}\(.*?\$\$;|(?!FUNCTION)[A-Z ]+ {name}\b.*?;)",
        SCHEMA,
        re.MULTILINE | re.DOTALL,
    )
    if created is None:
        raise LookupError(name)
    return created[0]


def without_spacing(text: str) -> str:
    return " ".join(text.split())


def fingerprint(text: str) -> str:
    return hashlib.sha256(without_spacing(text).encode()).hexdigest()[:8]


def test_procrastinate_has_changed_nothing_we_rest_on() -> None:
    changes = []
    for name, seam in SEAMS.items():
        try:
            now = fingerprint(definition_of(name))
        except (LookupError, ImportError, TypeError):
            changes.append(f"{name} is gone. It matters to {seam.ours}.")
        else:
            if now != seam.fingerprint:
                changes.append(
                    f"{name} is not what it was. It matters to {seam.ours}. To accept it after a "
                    f"look there, write {now} for {seam.fingerprint} in joblogs/engine/seams.py."
                )
    assert not changes, "\n".join([f"Procrastinate {version('procrastinate')}:", *changes])


def engine_modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ENGINE.glob("*.py")):
        yield path.stem, ast.parse(path.read_text())


def engine_classes() -> Iterator[type]:
    for name, _ in engine_modules():
        module = importlib.import_module(f"joblogs.engine.{name}")
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == module.__name__:
                yield found


def is_listed(owner: str, name: str) -> bool:
    """Tell whether a class of Procrastinate's, or this attribute of it, is a seam."""
    return owner in SEAMS or f"{owner}.{name}" in SEAMS


def test_every_name_that_we_override_is_listed() -> None:
    missing = []
    for ours in engine_classes():
        # Attributes of instances, too: Procrastinate may use the same name for its own ends.
        assigned = set(re.findall(r"\bself\.(\w+)(?::[^=\n]+)? = ", inspect.getsource(ours)))
        names = {name for name in vars(ours) if name == "__init__" or not is_dunder(name)}
        names |= assigned
        for base in inspect.getmro(ours):
            if not base.__module__.startswith("procrastinate."):
                continue
            owner = f"{base.__module__.removeprefix('procrastinate.')}:{base.__qualname__}"
            theirs = set(vars(base)) | set(re.findall(r"\bself\.(\w+)", inspect.getsource(base)))
            missing += [
                f"{ours.__module__}.{ours.__qualname__} overrides {owner}.{name}"
                for name in sorted(names & theirs)
                if not is_listed(owner, name)
            ]
            # What it is to the bases of this base is this base's own business.
            names -= theirs
    assert missing == []


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def test_every_private_name_that_we_use_is_ours_or_listed() -> None:
    listed = {name.rpartition(".")[2] for name in SEAMS}
    missing = []
    for module, tree in engine_modules():
        nodes = list(ast.walk(tree))
        own = {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        own |= {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        own |= {
            node.target.id
            for node in nodes
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        used = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and not is_of_python_itself(node.value)
        }
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("procrastinate"):
                used |= {alias.name for alias in node.names}
        missing += [
            f"joblogs.engine.{module} uses {name}"
            for name in sorted(used - own - listed)
            if name.startswith("_") and not is_dunder(name)
        ]
    assert missing == []


def is_of_python_itself(owner: ast.expr) -> bool:
    return isinstance(owner, ast.Name) and owner.id in sys.stdlib_module_names


def test_nothing_is_listed_for_a_module_that_is_gone() -> None:
    known = {name for name, _ in engine_modules()} | {
        path.name.removesuffix("_v1.sql")
        for path in (ENGINE.parent / "migrations" / "sql").glob("*_v1.sql")
    }
    for name, seam in SEAMS.items():
        modules, _, role = seam.ours.partition(": ")
        assert role, name
        assert set(modules.split(", ")) <= known, name


def test_no_stock_class_is_in_use() -> None:
    worker = app._worker()
    assert type(app.job_manager) is JobManager
    assert type(app.connector) is DjangoConnector
    assert type(worker) is Worker
    assert type(worker.app) is EngineApp
    assert worker.app.job_manager is app.job_manager
    assert {keep_connections, keep_connections_async} <= set(worker.task_middleware)
    assert not {close_db_connections, close_db_connections_async} & set(worker.task_middleware)


@pytest.mark.django_db
def test_no_stock_class_is_in_use_inside_a_worker_either() -> None:
    assert isinstance(app.connector, DjangoConnector)
    outside = app.connector
    with app.replace_connector(outside.get_worker_connector()) as inside:
        assert type(inside.connector) is WorkerConnector
        assert type(inside.job_manager) is JobManager
        assert type(inside.job_manager.connector) is WorkerConnector
        assert type(inside._worker()) is Worker
        # Plain code, such as a task that defers, stays on Django's connection.
        assert inside.connector.get_sync_connector() is outside


@pytest.mark.django_db
def test_the_trigger_is_stock_but_for_producers_that_wake() -> None:
    ((ours,),) = execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = %s", TRIGGER)
    condition = (
        " AND (current_setting('joblogs.wakes_later'::text, true) IS DISTINCT FROM 'on'::text)"
    )
    assert condition in ours
    # As PostgreSQL writes it: made anew, from the text of Procrastinate's schema.
    stock = in_schema(TRIGGER)
    execute(f"DROP TRIGGER {TRIGGER} ON procrastinate_jobs; {stock}")
    ((theirs,),) = execute(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = %s", TRIGGER
    )
    assert bare(ours.replace(condition, "")) == bare(theirs)


def bare(text: str) -> str:
    return re.sub(r"[\s()]", "", text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [name[4:] for name in SEAMS if name.startswith("sql:") and "$$" in definition_of(name)],
)
def test_procrastinates_functions_are_as_they_are_listed(name: str) -> None:
    ((body,),) = execute("SELECT prosrc FROM pg_proc WHERE proname = %s", name)
    assert without_spacing(body) == without_spacing(in_schema(name).split("$$")[1])
