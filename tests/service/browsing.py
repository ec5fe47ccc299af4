"""A console with the settings that `up` gives it, and what a person at a browser waits for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from serve.settings import Settings
from sonoscope.console import command, environment

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@contextmanager
def console(data_dir: Path, service_url: str, **more: Any) -> Iterator[str]:
    """The console's address, started with the command line and the environment that `up` gives it. `more`: settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = Settings(data_dir=data_dir, console_port=free.getsockname()[1], **more)
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


def settled(page: Page) -> None:
    """Waits until the run of the page is over."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def requests_shown(page: Page) -> Locator:
    """The number on the overview."""
    return page.get_by_test_id("stMetric").filter(has_text="Requests").get_by_test_id("stMetricValue")
