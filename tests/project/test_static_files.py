"""Static files as in production: collected, hashed, compressed, and missed gracefully."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.checkouts import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.checkouts import Checkout

SHOW_LOGIN_PAGE = (
    "from django.test import Client;"
    "response = Client().get('/login/', headers={'host': 'localhost'});"
    "print(response.status_code, response.content.decode())"
)


@pytest.fixture
def login_page(checkout: Checkout) -> str:
    result = checkout.manage("shell", "-c", SHOW_LOGIN_PAGE, env=environment(HTTPS="false"))
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_a_page_is_shown_though_its_files_were_not_collected(login_page: str) -> None:
    assert "200" in login_page
    assert "/static/joblogs.css" in login_page
    assert "has `manage.py collectstatic` been run?" in login_page


@pytest.fixture
def _collected(checkout: Checkout) -> Iterator[None]:
    result = checkout.manage("collectstatic", "--no-input")
    assert result.returncode == 0, result.stderr
    yield
    shutil.rmtree(checkout.folder / "staticfiles")


@pytest.mark.usefixtures("_collected")
def test_collected_files_carry_their_hashes(checkout: Checkout, login_page: str) -> None:
    match = re.search(r"/static/(joblogs\.[0-9a-f]{12}\.css)", login_page)
    assert match
    assert (checkout.folder / "staticfiles" / match[1]).exists()
    assert (checkout.folder / "staticfiles" / f"{match[1]}.gz").exists()
