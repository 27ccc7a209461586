"""A headless Chromium, as the system has it: nothing is fetched."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Start the browser and its driver, and end them."""
    from selenium import webdriver

    if CHROMIUM is None or DRIVER is None:
        raise RuntimeError("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # No sandbox, since continuous integration is root.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With the driver's path given, selenium looks for nothing and fetches nothing.
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        yield browser
    finally:
        with warnings.catch_warnings():
            # On a busy machine the driver ends before selenium has closed its connection to it.
            warnings.simplefilter("ignore", ResourceWarning)
            browser.quit()


def show(browser: Any, *, scheme: str, width: int, height: int = 900, medium: str = "screen") -> None:
    """Look at pages in light or dark, at this width, on screen or on paper."""
    # Without motion, since a click must not meet a page that still scrolls.
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
