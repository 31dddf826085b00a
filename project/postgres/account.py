"""Which account of this machine the embedded server runs as: PostgreSQL refuses root."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from pathlib import Path


class RunAs(TypedDict, total=False):
    """The keyword arguments of subprocess.Popen that switch the account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int
    switch: bool

    @property
    def run_as(self) -> RunAs:
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Make this account the owner of `path`."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def take_tree(self, folder: Path) -> None:
        """Make this account the owner of `folder` and all in it, if it is not yet."""
        if self.switch and folder.stat().st_uid != self.uid:
            for path in folder.rglob("*"):
                self.take(path)
            self.take(folder)


def account_for(folder: Path) -> Account:
    """Return the account that runs the server whose files are in `folder`.

    An ordinary user runs it alone. For root it is the owner of the data, else of the checkout,
    else nobody: whoever could use the checkout before can still use it afterwards.
    """
    if os.geteuid() != 0:
        _refuse_a_stranger(folder)
        return Account(os.geteuid(), os.getegid(), switch=False)
    if sys.platform != "linux":
        raise ImproperlyConfigured(
            "PostgreSQL does not run as root: run this as an ordinary user, or set DATABASE_URL."
        )
    for path in (folder / "data", folder.parent):
        if path.exists() and (owner := path.stat()).st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, switch=True)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid, switch=True)


def _refuse_a_stranger(folder: Path) -> None:
    for path in (folder, folder / "data"):
        if path.exists() and (uid := path.stat().st_uid) != os.geteuid():
            raise ImproperlyConfigured(
                f"{path} belongs to {_name(uid)}: run this as {_name(uid)}, use a checkout of your "
                "own, or set DATABASE_URL."
            )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
