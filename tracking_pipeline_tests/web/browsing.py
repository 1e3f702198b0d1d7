"""A real browser, and the page as somebody uses it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, TIMEOUT_SECONDS, Served

DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 360, "height": 740}
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

# Text on its background: WCAG 2.2, 1.4.3. Every colour of the page is opaque.
_FAINT_TEXTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const text = light(element.closest("svg") ? style.fill : style.color);
    const ground = light(behind(element));
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (contrast < 4.5) faint.push([walker.currentNode.data.trim(), contrast]);
  }
  return faint;
}"""
_NAMELESS = """() => [...document.querySelectorAll(
    "input, select, button, a, dialog, svg[role=img]")]
  .filter((each) => each.type !== "hidden" && !each.hidden)
  .filter((each) => !(each.labels?.length && each.labels[0].textContent.trim())
    && !each.getAttribute("aria-label")
    && !document.getElementById(each.getAttribute("aria-labelledby"))
    && !(each.matches("button, a") && each.textContent.trim()))
  .map((each) => each.outerHTML)"""
_HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .filter((each) => each.checkVisibility()).map((each) => Number(each.tagName[1]))"""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The system's Chromium, without a window. Skips the test where there is none."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("no chromium on this machine: the page's clicks are not tested")
    # Chromium's sandbox does not work for root, and here it only meets our own page.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class Visitor:
    """Opens pages of one server, each in a browser profile of its own, and logs in there."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def visit(self, served: Served, path: str = "/", **profile: Any) -> Page:
        """The page as a stranger sees it. ``profile``: as Playwright's ``new_context`` takes it."""
        context = self._browser.new_context(**{"viewport": DESKTOP, **profile})
        context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        page = context.new_page()
        page.goto(served.url + path)
        return page

    def log_in(self, served: Served, **profile: Any) -> Page:
        """The page as an admin sees it."""
        page = self.visit(served, **profile)
        page.get_by_label("Token").fill(ADMIN_TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Queue by destination").wait_for()
        # A click before the script is there is lost.
        page.wait_for_load_state()
        return page


def faint_texts(page: Page) -> list[Any]:
    """The texts on the page whose contrast is below 4.5."""
    found: list[Any] = page.evaluate(_FAINT_TEXTS)
    return found


def nameless(page: Page) -> list[str]:
    """The controls and pictures that a screen reader has no name for."""
    found: list[str] = page.evaluate(_NAMELESS)
    return found


def heading_levels(page: Page) -> list[int]:
    """The levels of the visible headings, in order."""
    found: list[int] = page.evaluate(_HEADINGS)
    return found


def overflow(page: Page) -> int:
    """By how much the page is wider than the window."""
    found: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found
