"""The page in a real browser: it loads nothing, and its table works, wide and narrow."""

import json
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from eql_d2.report.page import write_report

from .synthetic_runs import make_run
from .test_page import NAMES

GAINS = (("base", 0), ("eql", 0.8))
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no Chromium: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    names = [*NAMES, *(f"category {i}" for i in range(1203 - len(NAMES)))]
    return write_report(
        [make_run(folder / name, 1203, names=names, gain=gain) for name, gain in GAINS]
    )


def page_of_classifications(folder, gains):
    names = [f"{i:03}_category_with_a_long_name" for i in range(60)]
    settings = {"names": names, "task": "classification", "key": "accuracy"}
    runs = {f"softmax_eql_{i}/seed1": gain for i, gain in enumerate(gains)}
    folders = [make_run(folder / run, 60, gain=gain, **settings) for run, gain in runs.items()]
    return write_report(folders)


@pytest.fixture(scope="module")
def page_of_two(tmp_path_factory):
    return page_of_classifications(tmp_path_factory.mktemp("two"), [0, 0.8])


@pytest.fixture(scope="module")
def page_of_eleven(tmp_path_factory):
    return page_of_classifications(tmp_path_factory.mktemp("eleven"), [0.09 * i for i in range(11)])


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


def set_width(browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture(params=[1280, 390])
def opened(request, browser, page):
    set_width(browser, request.param)
    browser.get(page.as_uri())
    return browser


def cut_off(browser, selector):
    """Names of the elements that reach beyond the window."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter((element) => "
        "element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
        ".map((element) => element.tagName + ' ' + element.textContent.slice(0, 40))",
        selector,
    )


def column(browser, index):
    # At once: a redraw replaces the cells.
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent)",
        f"#categories td:nth-child({index})",
    )


def sort_by(browser, title, order):
    """Press Enter on the head of a column, and wait until the table is sorted by it."""
    selector = f'[role=button][aria-label^="{title}:"]'
    browser.find_element(By.CSS_SELECTOR, selector).send_keys(Keys.ENTER)
    sorted_head = f"th[aria-sort={order}]"
    WebDriverWait(browser, 300).until(
        lambda browser: (
            title
            in browser.execute_script(
                "return document.querySelector(arguments[0])?.textContent ?? ''", sorted_head
            )
        )
    )


def test_nothing_leaves_the_page_and_nothing_is_wrong(opened, page):
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    addresses = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in addresses
    assert {address.partition(":")[0] for address in addresses} <= {"file", "data"}
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_figures_have_alternatives_and_the_page_has_no_sideways_scroll(opened):
    images = opened.find_elements(By.TAG_NAME, "img")
    assert len(images) == 5
    assert all(len(image.get_attribute("alt")) > 40 for image in images)
    assert all(int(image.get_property("naturalWidth")) > 0 for image in images)
    width, visible = opened.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert width <= visible
    levels = [int(h.tag_name[1]) for h in opened.find_elements(By.CSS_SELECTOR, "h1, h2, h3")]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))


def test_the_keyboard_sorts_by_ratio_and_what_is_unknown_comes_last(opened):
    for order in ("ascending", "descending"):
        sort_by(opened, "ratio", order)
    assert column(opened, 7)[0] == "1" and column(opened, 3)[0] == "1,989"
    sort_by(opened, "box AP", "ascending")
    first_page = column(opened, 8)
    assert "–" not in first_page and first_page == sorted(first_page, key=float)


def test_the_filter_finds_names_which_are_shown_and_not_run(opened):
    search = opened.find_element(By.CSS_SELECTOR, "input[type=search]")
    search.send_keys("<script>")
    assert column(opened, 1) == [NAMES[0]] and column(opened, 8) == ["not tested"]
    assert opened.execute_script("return window.attacked === undefined")
    search.clear()
    search.send_keys("category 115")
    assert len(column(opened, 1)) == 12  # 115, 1150 to 1159 and 1115


def test_the_last_column_of_two_classifications_is_in_sight(browser, page_of_two):
    set_width(browser, 1280)
    browser.get(page_of_two.as_uri())
    assert len(column(browser, 13)) == 50  # the change
    assert browser.execute_script(
        "return [...document.querySelectorAll('.scroll, .dt-layout-table')].every((box) => "
        "box.scrollWidth <= box.clientWidth)"
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_eleven_runs_keep_to_the_window_and_scroll_in_it(browser, page_of_eleven, width):
    set_width(browser, width)
    browser.get(page_of_eleven.as_uri())
    assert cut_off(browser, ".scroll, .dt-layout-table, h1, p, figcaption, .guesses") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    box = browser.find_element(By.CSS_SELECTOR, ".dt-layout-table")
    browser.execute_script("arguments[0].scrollLeft = 600", box)
    name = browser.find_element(By.CSS_SELECTOR, "#categories tbody td:first-child")
    assert name.rect["x"] == pytest.approx(box.rect["x"])  # the name stays
    # No text of a cell runs into the next one.
    assert browser.execute_script(
        "return [...document.querySelectorAll('td, th')].every((cell) => "
        "cell.scrollWidth <= cell.clientWidth + 1)"
    )


# Content of A4 between margins of 12 mm, upright and lying, in CSS pixels
UPRIGHT, LYING = 703, 1031


@pytest.mark.parametrize("fixture", ["page_of_two", "page_of_eleven"])
def test_paper_has_all_of_the_page(browser, request, fixture):
    page = request.getfixturevalue(fixture)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(page.as_uri())
    browser.execute_script(
        "addEventListener('beforeprint', () => (window.printed = "
        "[document.querySelectorAll('#categories tbody tr').length, "
        "document.querySelectorAll('details:not([open])').length]))"
    )
    assert browser.print_page()
    assert browser.execute_script("return window.printed") == [60, 0]
    assert len(column(browser, 1)) == 50  # on the screen all is as it was
    assert browser.find_elements(By.CSS_SELECTOR, "details:not([open])")

    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.execute_script("document.querySelector('details').open = true")
        set_width(browser, LYING)
        assert cut_off(browser, "td, th") == []
        set_width(browser, UPRIGHT)
        lying = ".categories, .runs.many"
        shown = f":is(td, th, img, p):not(:is({lying}) *)"
        assert cut_off(browser, shown) == []
        assert browser.execute_script(
            "return [...document.images].every((image) => image.height <= 1000)"  # of 1031 pixels
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
