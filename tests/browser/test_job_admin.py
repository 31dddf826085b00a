"""What an administrator does to jobs, with mouse and keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from accounts.models import User
from joblogs.models import Job
from tests.browser.pages import NARROW, WIDE, log_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cancelled(administrator: User) -> list[Job]:
    """Jobs that were cancelled, about three users."""
    for name in ("alice", "bob", "carol"):
        User.objects.create_user(name)
    Job.objects.all().cancel()
    return list(Job.objects.order_by("pk"))


@pytest.fixture
def waiting(cancelled: list[Job]) -> Job:
    """The job about carol, which was cancelled and waits again."""
    Job.objects.filter(pk=cancelled[-1].pk).retry()
    return cancelled[-1]


def retry_all(page: Page) -> None:
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(label="Retry")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("heading", name="Retry: 4 jobs")).to_be_visible()


def test_jobs_are_chosen_looked_at_again_and_retried(
    cancelled: list[Job], open_page: Callable[..., Page]
) -> None:
    page = open_page(width=WIDE, color_scheme="light")
    log_in(page)
    page.goto("/admin/joblogs/job/")
    page.get_by_role("link", name="Cancelled").click()
    retry_all(page)
    page.get_by_role("link", name="No, back to the jobs").click()
    expect(page.locator(".job-state-cancelled")).to_have_count(4)
    retry_all(page)
    page.get_by_role("button", name="Yes, retry: 4 jobs").click()
    expect(page.locator(".messagelist .success")).to_have_text("4 jobs were retried.")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    page.get_by_role("link", name="Waiting").click()
    expect(page.locator(".job-state-waiting")).to_have_count(4)


def test_a_job_is_found_and_cancelled_on_its_page_by_keyboard(
    waiting: Job, open_page: Callable[..., Page]
) -> None:
    page = open_page(width=NARROW, color_scheme="dark")
    log_in(page)
    page.goto("/admin/joblogs/job/")
    page.locator("#searchbar").fill(f"user_id={waiting.user_id}")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=str(waiting.pk), exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="carol")).to_be_visible()
    expect(page.locator(".job-events")).to_contain_text("retried")
    page.get_by_role("link", name="Cancel", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Yes, cancel: 1 job").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist .success")).to_have_text("1 job was cancelled.")
    expect(page.locator(".job-state-cancelled").first).to_be_visible()
