"""The page in a browser: nothing is asked of a network, nothing complains, all is drawn, tables sort."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

selenium = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
pytestmark = pytest.mark.in_order  # on one page, which stays as a test leaves it
BROWSERS, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"


@pytest.fixture(scope="module")
def browser(study: Path) -> Iterator[selenium.Chrome]:
    """With the page open."""
    from selenium.webdriver.chrome.service import Service

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which(DRIVER)
    if found is None or driver is None:
        pytest.skip("there is no Chromium with its driver: `apt install chromium chromium-driver`")
    options = selenium.ChromeOptions()
    options.binary_location = found
    for argument in "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking":
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with selenium.Chrome(options=options, service=Service(driver)) as chrome:
        chrome.get((study / "reports" / "index.html").as_uri())
        yield chrome


def resize(browser: selenium.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_it_asks_for_nothing_and_nothing_complains(browser: selenium.Chrome) -> None:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [browser.current_url]
    assert browser.get_log("browser") == []


def test_every_picture_is_loaded_and_every_figure_drawn(browser: selenium.Chrome) -> None:
    loaded = browser.execute_script("return [...document.images].map((image) => image.complete && image.naturalWidth)")
    assert loaded and set(loaded) == {32}
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map((svg) => svg.clientWidth * svg.getBBox().height)"
    )
    assert len(sizes) == 29 and min(sizes) > 10_000


@pytest.mark.parametrize("width", [320, 375, 768, 1200, 1920])
def test_nothing_is_wider_than_the_window(browser: selenium.Chrome, width: int) -> None:
    resize(browser, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [375, 1200])
def test_all_can_be_hit_with_a_finger_and_scrolled_by_keyboard(browser: selenium.Chrome, width: int) -> None:
    resize(browser, width)
    browser.execute_script("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")  # laid out again
    targets = "[...document.querySelectorAll('a, button, summary')]"
    heights = browser.execute_script(f"return {targets}.map((target) => target.getBoundingClientRect().height)")
    assert heights and min(heights) >= 24  # of the accessibility guidelines WCAG 2.2
    scrolls = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map("
        "(box) => [box.scrollWidth > box.clientWidth, box.tabIndex])"
    )
    assert {tuple(each) for each in scrolls} <= {(True, 0), (False, -1)}
    assert width == 1200 or (True, 0) in {tuple(each) for each in scrolls}


def test_a_click_on_a_heading_sorts_and_another_turns_round(browser: selenium.Chrome) -> None:
    table = browser.find_element("css selector", "#rotation table")
    headings = table.find_elements("css selector", "th button")
    place = [heading.text for heading in headings].index("median (°)")

    def column(index: int) -> list[str]:
        return [
            row.find_elements("css selector", "th, td")[index].text
            for row in table.find_elements("css selector", "tbody tr")
        ]

    def numbers() -> list[float]:
        return [float(text.split()[0]) for text in column(place)]

    values = sorted(numbers())
    assert len(set(values)) == 3
    headings[place].click()
    assert numbers() == values
    assert table.find_elements("css selector", "thead th")[place].get_attribute("aria-sort") == "ascending"
    headings[place].click()
    assert numbers() == values[::-1]
    headings[0].click()
    assert column(0) == ["direct", "flat", "sexp"]
    assert table.find_elements("css selector", "thead th")[place].get_attribute("aria-sort") is None


def test_empty_cells_stay_last_and_numbers_are_no_texts(browser: selenium.Chrome) -> None:
    """Of the published accuracies below 7.5 degrees, which some methods lack."""
    browser.execute_script("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    table = browser.find_element("css selector", "#rotation .published table")
    place = [heading.text for heading in table.find_elements("css selector", "th")].index("Acc@7.5°")
    for order in 1, -1:
        table.find_elements("css selector", "th button")[place].click()
        rows = table.find_elements("css selector", "tbody tr")
        texts = [row.find_elements("css selector", "th, td")[place].text for row in rows]
        numbers = [float(text) for text in texts if text]
        assert texts[len(numbers) :] == [""] * 7 and numbers == sorted(numbers)[::order]


def test_text_stands_out_in_the_light_and_in_the_dark(browser: selenium.Chrome) -> None:
    for scheme in "light", "dark":
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        ink, paper = browser.execute_script(
            "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
        )
        one, other = sorted((luminance(ink), luminance(paper)))
        assert (other + 0.05) / (one + 0.05) > 7  # AAA of the accessibility guidelines WCAG
        assert (luminance(paper) > 0.5) == (scheme == "light")
        fill = browser.execute_script("return getComputedStyle(document.querySelector('svg')).fill")
        assert fill == ink


def luminance(colour: str) -> float:
    """Of `rgb(r, g, b)`, as WCAG defines it."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_is_folded_is_printed(browser: selenium.Chrome) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach((details) => (details.open = false))")
    state = "return [...document.querySelectorAll('details')].map((details) => details.open)"
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert set(browser.execute_script(state)) == {True}
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert set(browser.execute_script(state)) == {False}
