"""Draws the pictures of ``docs/images/`` anew, from a rehearsal, in both colour schemes.

python -m docs.pictures
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, ViewportSize

from tracking_pipeline_tests.dev_process import COMMAND, Dev, running_dev
from tracking_pipeline_tests.servers import reachable_folder
from tracking_pipeline_tests.web.browsing import open_browser

IMAGES = Path(__file__).parent / "images"
SIZE = ViewportSize(width=1200, height=760)
TOKEN = "a-token-for-the-pictures"


def main() -> None:
    home = reachable_folder()
    settings = {"ADMIN_API_TOKEN": TOKEN, "TRACKING_REHEARSAL": "true"}
    with (
        tempfile.TemporaryDirectory() as logs,
        running_dev(home, Path(logs) / "dev.log", **settings) as dev,
        open_browser() as browser,
    ):
        dev.wait_until_loaded()
        dev.call("heal", "--rehearsal", "--json")
        _draw(browser, "dagster", lambda page: _dagster(page, dev))
        url = f"http://127.0.0.1:{dev.port + 1}"
        serve = subprocess.Popen(
            [COMMAND, "serve", "--rehearsal", "--port", str(dev.port + 1)], env=dev.variables
        )
        try:
            dev.wait_for("the API serves", lambda: httpx.get(f"{url}/healthz").is_success)
            _draw(browser, "health", lambda page: _health(page, url))
        finally:
            serve.terminate()
            serve.wait()


def _draw(browser: Browser, name: str, show: Callable[[Page], None]) -> None:
    for scheme in ("light", "dark"):
        with browser.new_context(viewport=SIZE, color_scheme=scheme) as context:
            page = context.new_page()
            show(page)
            page.screenshot(path=IMAGES / f"{name}-{scheme}.png")


def _health(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Queue by destination").wait_for()


def _dagster(page: Page, dev: Dev) -> None:
    page.goto(f"http://127.0.0.1:{dev.port}/asset-groups?groups=tracking_health")
    page.get_by_text("tracking_health_report").first.wait_for()
    page.wait_for_timeout(12_000)  # the states of assets come one after another


if __name__ == "__main__":
    main()
