"""What several of these tests act on, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Group

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import User


@pytest.fixture
def as_manager(client: Client, manager: User) -> Client:
    """A client of the manager, who may in each file do something else."""
    client.force_login(manager)
    return client


@pytest.fixture
def group(db: None) -> Group:
    return Group.objects.create(name="group")
