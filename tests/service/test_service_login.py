"""The console behind a real log-in: people of a real Keycloak in a browser, over a service that asks for their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sonoscope.run import Run, read_run
from tests.servers.keycloak import Keycloak, keycloak, missing_keycloak
from tests.service.browsing import CHROMIUM, requests_shown, settled
from tests.service.conftest import sonoscope
from tests.service.test_service_console import generate, plays

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.server,
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt install chromium)"),
    pytest.mark.skipif(missing_keycloak() is not None, reason=str(missing_keycloak())),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Keycloak]:
    with keycloak() as server:
        yield server


@pytest.fixture(scope="module")
def run(issuer: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`up` with an issuer, on loopback: service and console."""
    data_dir = tmp_path_factory.mktemp("office")
    env: dict[str, Any] = {
        "SONOSCOPE_PORT": "0", "SONOSCOPE_CONSOLE_PORT": "0", "SONOSCOPE_DASHBOARD": "false", "RAY_ADDRESS": "127.0.0.1:1",
        "SONOSCOPE_OIDC__ISSUER": issuer.issuer, "SONOSCOPE_OIDC__AUDIENCE": "sonoscope",
        "SONOSCOPE_OIDC__CONSOLE__CLIENT_ID": issuer.client_id, "SONOSCOPE_OIDC__CONSOLE__CLIENT_SECRET": issuer.client_secret,
    }  # fmt: skip
    started = sonoscope(data_dir, "up", "-d", **env)
    try:
        assert started.returncode == 0, started.stderr
        found = read_run(data_dir)
        assert found is not None
        yield found
    finally:
        sonoscope(data_dir, "down")


@contextmanager
def logged_in(browser: Browser, run: Run, issuer: Keycloak, name: str) -> Iterator[Page]:
    """A window of a person who has come through the issuer's own form."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(90_000)
    page = context.new_page()
    page.goto(f"{run.console_url}/")
    page.get_by_text("You are not logged in").wait_for()
    assert not page.get_by_test_id("stMetric").count()
    page.get_by_role("button", name="Log in").click()
    page.locator("#username").fill(name)
    page.locator("#password").fill(issuer.users[name][0])
    page.locator("#kc-login").click()
    page.get_by_role("button", name="Log out").wait_for()
    yield page
    context.close()


def test_each_person_sees_and_does_what_the_role_allows(browser: Browser, run: Run, issuer: Keycloak) -> None:
    with logged_in(browser, run, issuer, "oskar") as page:
        page.get_by_text("Operator · film").wait_for()
        request_id = generate(page, str(run.console_url))
        plays(page)
        page.goto(f"{run.console_url}/audit")
        page.get_by_text("The audit trail is for auditors.").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("button", name="Log in").or_(page.locator("#username")).first.wait_for()
        page.goto(f"{run.console_url}/request?request={request_id}")
        page.get_by_text("You are not logged in").wait_for()

    with logged_in(browser, run, issuer, "viola") as page:
        page.goto(f"{run.console_url}/request?request={request_id}")
        plays(page)
        assert not page.get_by_test_id("stFeedback").count()
        page.goto(f"{run.console_url}/generate")
        page.get_by_text("You may look, but not generate.").wait_for()

    with logged_in(browser, run, issuer, "olga") as page:
        page.get_by_text("No request in this range.").wait_for()
        page.goto(f"{run.console_url}/request?request={request_id}")
        page.get_by_text("No request in this range.").wait_for()
        assert not page.locator("video").count()

    with logged_in(browser, run, issuer, "audrey") as page:
        requests_shown(page).get_by_text("1", exact=True).wait_for()
        page.goto(f"{run.console_url}/audit")
        page.get_by_role("heading", name="Entries").wait_for()
        page.get_by_role("button", name="Look at the whole chain").click()
        settled(page)
        page.get_by_text("The chain holds").wait_for()
        page.goto(f"{run.console_url}/generate")
        page.get_by_text("You may look, but not generate.").wait_for()

    key = {"Authorization": f"Bearer {issuer.token('audrey')}"}
    told = httpx.get(f"{run.url}/audit", params={"request_id": request_id}, headers=key).raise_for_status().json()["entries"]
    assert [one["action"] for one in told if one["action"] != "video"] == ["ended", "generate"]
    seen = [one for one in told if one["action"] == "video"]
    assert len({one["who"] for one in seen}) >= 2, "who made it and who looked at it"

    with logged_in(browser, run, issuer, "norole") as page:
        page.get_by_text("you have no role or no department here").wait_for()
