"""The console as people use it: in a browser, beside a running service, from the upload to the judgement."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from serve.settings import Settings
from sonoscope.console import command, environment
from tests.analytics.conftest import SECOND, START
from tests.analytics.conftest import Service as Writer
from tests.service.conftest import PORTRAIT, SPEECH, Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt install chromium)"),
    pytest.mark.timeout(240),
]


@contextmanager
def console(data_dir: Path, service_url: str) -> Iterator[str]:
    """The console's address, started with the command line and the environment that `up` gives it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = Settings(data_dir=data_dir, console_port=free.getsockname()[1])
    env = {**os.environ, **environment(settings, service_url), "SONOSCOPE_DATA_DIR": str(data_dir)}
    log = (data_dir / "console.log").open("wb")
    with log, subprocess.Popen(command(settings), env=env, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{settings.console_port}"
            until(lambda: answers(f"{url}/_stcore/health"), 60, "the console does not start")
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def until(true: Callable[[], bool], seconds: float, why: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, why
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `dev` brings playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def settled(page: Page) -> None:
    """Waits until the run of the page is over."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def requests_shown(page: Page) -> Locator:
    """The number on the overview."""
    return page.get_by_test_id("stMetric").filter(has_text="Requests").get_by_test_id("stMetricValue")


@pytest.mark.service
def test_from_the_upload_to_the_judgement(service: Service, page: Page, browser: Browser) -> None:
    with console(service.data_dir, service.url) as url:
        request_id = generate(page, url)
        found_by_a_filter(page, url, request_id)
        page.goto(f"{url}/request?request={request_id}")
        plays(page)
        scored(page, service, request_id)
        seen_by_a_colleague(browser, page.url, request_id)


def generate(page: Page, url: str) -> str:
    """Uploads a portrait and a recording, starts, waits for the video; returns the id of the request."""
    page.goto(f"{url}/generate")
    portrait, audio = (page.locator('input[type="file"]').nth(number) for number in range(2))
    portrait.set_input_files(PORTRAIT)
    audio.set_input_files(SPEECH["zh"])
    small = page.get_by_role("spinbutton", name="min_resolution (px)")
    small.fill("128")
    small.press("Enter")
    page.get_by_role("button", name="Make the video").click()
    page.get_by_text("The video is there.").wait_for(timeout=90_000)
    page.locator("video").wait_for()
    page.get_by_role("button", name="Open its record").click()
    page.wait_for_url("**/request?*request=*")
    return page.url.split("request=")[1].split("&")[0]


def found_by_a_filter(page: Page, url: str, request_id: str) -> None:
    """The overview counts the request, and a filter in the address finds it or not."""
    for expression, count in ((f'request_id = "{request_id}"', "1"), (f'request_id = "{request_id}" && status = ok', "1")):
        page.goto(url)
        box = page.get_by_role("textbox", name="Filter")
        box.fill(expression)
        box.press("Enter")
        page.wait_for_url("**filter=*")
        requests_shown(page).get_by_text(count, exact=True).wait_for()
    page.goto(f'{url}/?filter=min_resolution > 128 %26%26 request_id = "{request_id}"')
    requests_shown(page).get_by_text("0", exact=True).wait_for()


def plays(page: Page) -> None:
    """The video's time advances, and its picture has the size that was asked for."""
    video = page.locator("video").first
    video.wait_for()
    video.evaluate("one => { one.muted = true; return one.play() }")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.3")
    assert video.evaluate("one => Math.min(one.videoWidth, one.videoHeight)") == 128


def scored(page: Page, service: Service, request_id: str) -> None:
    """A thumb and a comment become a judgement that the record holds and the page shows."""
    page.get_by_test_id("stFeedback").get_by_role("radio").first.click()
    page.get_by_label("Comment").fill("lips are late")
    page.get_by_role("button", name="Send the judgement").click()
    page.get_by_text("Noted.").wait_for()
    until(
        lambda: any(event["event_type"] == "user_score" for event in service.record(request_id).events),
        10,
        "no judgement in the log",
    )
    page.reload()
    page.get_by_text("lips are late").wait_for()


def seen_by_a_colleague(browser: Browser, link: str, request_id: str) -> None:
    """A copied link shows the same to somebody who was never here, who then reads it in Chinese."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(link)
    page.get_by_role("textbox", name="Request, job or trace id").wait_for()
    assert page.get_by_role("textbox", name="Request, job or trace id").input_value() == request_id
    page.get_by_text("lips are late").wait_for()
    page.get_by_label("Language").first.click()
    page.get_by_role("option", name="中文").click()
    page.get_by_role("heading", name="发生了什么").wait_for()
    page.wait_for_url("**lang=zh*")
    context.close()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Sixty requests by the real writers: those with 40 steps drift."""
    writer = Writer(tmp_path)
    for number in range(60):
        bad = number % 3 == 0
        values = {"inference_steps": 40 if bad else 10 + number % 12, "audio_drift_ms": (180.0 if bad else 15.0) + number % 9}
        writer.request(number, START + number * SECOND, latency_s=2.0, host="h9" if bad else "h1", **values)
    writer.telemetry.shutdown()
    return tmp_path


def test_a_box_around_the_bad_requests_says_what_differs_in_them(written: Path, page: Page) -> None:
    with console(written, "http://127.0.0.1:9") as url:
        page.goto(f"{url}/why?since=all")
        plot = page.locator(".js-plotly-plot .draglayer .nsewdrag").first
        plot.wait_for()
        settled(page)
        area = plot.bounding_box()
        assert area is not None
        # Drift is up and steps are along: the bad ones are the dots in the upper right quarter.
        page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + 3)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] - 2, area["y"] + area["height"] * 0.5, steps=8)
        page.mouse.up()
        page.wait_for_url("**bad=*")
        page.get_by_text("20 requests asked about, 40 others").wait_for()
        page.get_by_text("host = h9").first.wait_for()
        page.get_by_test_id("stVerticalBlock").get_by_role("button", name="…").first.click()
        page.wait_for_url("**/request?*request=request-*")
        page.get_by_text("business_output").or_(page.get_by_text("audio_offset_ms")).first.wait_for()
