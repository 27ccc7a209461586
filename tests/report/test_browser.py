"""The report in a real browser: it renders, sorts, filters, opens a group, in light and dark, wide and narrow."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ctprune
from tests.browser import CHROMIUM, DRIVER, open_browser, show

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        (CHROMIUM is None or DRIVER is None) and "CI" not in os.environ,
        reason="needs Chromium and its driver: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def report(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "run"
    ctprune.reduce(archive, out=folder)
    return ctprune.write_report(folder).path


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(driver: Any, report: Path) -> Iterator[Any]:
    show(driver, scheme="light", width=1280)
    driver.get(report.as_uri())
    yield driver
    assert driver.get_log("browser") == []


def column(page: Any, number: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#volume-table tbody tr')].filter(row => row.offsetHeight > 0)"
        ".map(row => row.cells[arguments[0]].textContent)"
    )
    return list(page.execute_script(script, number))


def sticking_out(page: Any, width: int) -> int:
    """Pixels by which the page is wider than its window (a telephone's window grows with the page)."""
    root = page.find_element("css selector", "html")
    seen = min(width, int(root.get_property("clientWidth")))
    return int(root.get_property("scrollWidth")) - seen


def brightness(page: Any, element: str, style: str) -> float:
    color = page.execute_script(
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", element, style
    )
    return sum(float(part) for part in color[color.index("(") + 1 : -1].split(",")[:3]) / 3


def test_it_renders_all_pictures_and_plots_and_asks_for_nothing(page: Any, report: Path) -> None:
    page.execute_script("for (const image of document.images) image.loading = 'eager'")
    page.execute_async_script(
        "const done = arguments[0]; Promise.all([...document.images].map(i => i.decode())).then(() => done())"
    )
    widths = page.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 30
    assert set(widths) == {128}
    heights = page.execute_script(
        "return [...document.querySelectorAll('.plot svg')].map(svg => svg.getBoundingClientRect().height)"
    )
    assert len(heights) == 3
    assert min(heights) > 100
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in page.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert report.as_uri() in asked
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}


def test_a_table_sorts_by_the_heading_clicked(page: Any) -> None:
    heading = page.find_element("css selector", "#volume-table th:nth-child(4)")
    assert column(page, 0) == sorted(column(page, 0), key=int)
    heading.click()
    shares = [float(share) for share in column(page, 3)]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) > 1
    assert heading.get_attribute("aria-sort") == "descending"
    heading.send_keys("\ue007")
    assert [float(share) for share in column(page, 3)] == sorted(shares)
    page.find_element("css selector", "#volume-table th:nth-child(6)").click()
    assert column(page, 5) == sorted(column(page, 5))
    assert heading.get_attribute("aria-sort") is None


def test_the_table_filters_by_words(page: Any) -> None:
    field = page.find_element("css selector", "input[type=search]")
    every = column(page, 5)
    wanted = [name for name in every if "Mockray" in name]
    assert 0 < len(wanted) < len(every)
    field.send_keys("mockray lumen")
    assert column(page, 5) == wanted
    counter = page.find_element("css selector", "[data-counts]").text
    assert counter == f"{len(wanted)} of {len(every)} lines"
    field.send_keys(" nothing-like-that")
    assert column(page, 5) == []
    field.clear()
    # Clearing through the driver sends a change, typing sends an input.
    field.send_keys(" ")
    assert column(page, 5) == every


def test_groups_open_and_can_be_chosen_and_ordered(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    def groups() -> list[Any]:
        return [group for group in page.find_elements("css selector", ".group") if group.is_displayed()]

    every = len(groups())
    group = max(groups(), key=lambda group: int(group.get_attribute("data-covered")))
    film = group.find_element("css selector", ".film")
    assert not film.is_displayed()
    group.find_element("css selector", "summary").click()
    assert film.is_displayed()
    captions = [caption.text for caption in film.find_elements("css selector", "figcaption")]
    assert captions
    assert all("slice" in caption and "mm" in caption and "bit" in caption for caption in captions)

    Select(page.find_element("id", "group-order")).select_by_value("covered")
    covered = [int(group.get_attribute("data-covered")) for group in groups()]
    assert covered == sorted(covered, reverse=True)
    Select(page.find_element("id", "group-order")).select_by_value("spread")
    spread = [float(group.get_attribute("data-spread")) for group in groups()]
    assert spread == sorted(spread, reverse=True)
    volume = Select(page.find_element("id", "group-volume"))
    volume.select_by_value("1")
    assert {group.get_attribute("data-volume") for group in groups()} == {"1"}
    assert page.find_element("id", "group-count").text.startswith(f"{len(groups())} group")
    volume.select_by_value("")
    assert len(groups()) == every


def test_light_and_dark_follow_the_system_and_the_button(page: Any, report: Path) -> None:
    for scheme, is_dark in (("light", False), ("dark", True)):
        show(page, scheme=scheme, width=1280)
        page.get(report.as_uri())
        for presses in range(2):
            paper = brightness(page, "body", "backgroundColor")
            ink = brightness(page, "body", "color")
            tick = brightness(page, ".plot svg text", "fill")
            expects_dark = is_dark != bool(presses)
            assert (paper < 60) == expects_dark
            assert (ink > paper) == (tick > paper) == expects_dark
            page.find_element("id", "theme").click()


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_sticks_out_at_any_width(page: Any, width: int) -> None:
    show(page, scheme="light", width=width)
    page.execute_script("document.querySelectorAll('.group')[0].open = true")
    assert sticking_out(page, width) == 0
    heights = page.execute_script(
        "return [...document.querySelectorAll('.plot svg text')].map(text => text.getBoundingClientRect().height)"
    )
    assert min(heights) >= 8


def test_paper_gets_open_groups_and_no_controls(page: Any) -> None:
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    # What printing opens it closes again.
    assert page.find_elements("css selector", ".group[open]") == []
    show(page, scheme="dark", width=794, medium="print")
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert 0 < len(page.find_elements("css selector", ".group[open]")) <= 12
    assert brightness(page, "body", "backgroundColor") > 250
    for hidden in ("nav", "#theme", ".controls"):
        assert not page.find_element("css selector", hidden).is_displayed()
    assert sticking_out(page, 794) == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.find_elements("css selector", ".group[open]") == []
