"""The page itself, in a real browser: a slider that is moved by hand changes the picture, nothing is fetched."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT, xla_flags

pytest.importorskip("gradio", reason="Gradio, which serves the page, is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60_000  # ms


def browser() -> str:
    """Return a browser that is there, or skip."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or pytest.skip(f"no browser is there ({', '.join(BROWSERS)})")


@pytest.fixture(scope="module")
def address(explored):
    """The address of a page that the command serves."""
    browser()
    environment = os.environ | {"XLA_FLAGS": xla_flags(1), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jaxvae", "explore", str(explored), "--port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=environment, cwd=pathlib.Path(explored).parent, **pipes) as serving:
        try:
            said = []
            for line in serving.stdout:
                said.append(line)
                if found := re.match(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                pytest.fail("".join(said))
            yield found[0]
        finally:
            serving.terminate()


@pytest.fixture(scope="module")
def page(address):
    """A page of a browser that has been opened there; `asked` are the addresses that it asked for."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser(), args=flags, headless=True)
        page = opened.new_page(viewport={"width": 1300, "height": 900})
        page.asked, page.wrong = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.wait_for_selector("#left-view img")
        yield page
        opened.close()


def pictures(page, bench: str = "left") -> list[str]:
    return page.eval_on_selector_all(f"#{bench}-view img", "found => found.map(image => image.src)")


def changes(page, before: list[str], bench: str = "left") -> list[str]:
    """Wait until what is decoded is another picture; return all pictures."""
    page.wait_for_function(
        "([bench, old]) => (document.querySelectorAll(`#${bench}-view img`)[1] ?? {src: old}).src !== old",
        arg=[bench, before[1]],
    )
    return pictures(page, bench)


def test_a_slider_that_is_moved_changes_the_picture(page):
    before = pictures(page)
    assert len(before) == 9
    page.wait_for_timeout(1000)  # until everything has its place
    slider = page.locator("#left-latent-0 input[type=range]")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] / 2, steps=4)
    dragged = changes(page, before)
    page.mouse.up()
    assert dragged[0] == before[0], "the image that it started from stays"
    page.wait_for_timeout(500)
    dragged = pictures(page)
    page.keyboard.press("End")  # to the largest value, by the keyboard
    pressed = changes(page, dragged)
    assert pressed[1] == pressed[-1], "which is the last one of the strip"


def test_another_image_and_noise_and_back(page):
    before = pictures(page)
    page.locator("#number input").fill("3")
    third = changes(page, before)
    assert third[0] != before[0]
    page.locator("#noise").click()
    page.wait_for_function("document.querySelectorAll('#left-view img').length === 8")  # no image: it is drawn
    assert pictures(page)[0] not in third
    page.locator("#number input").fill("4")
    page.wait_for_function("document.querySelectorAll('#left-view img').length === 9")


def test_a_second_lane_stands_beside_the_first_under_the_same_image(page):
    page.locator("#beside input").click()
    page.get_by_role("option").nth(2).click()
    page.wait_for_selector("#right-view img")
    left, right = pictures(page), pictures(page, "right")
    assert left[0] == right[0] and left[1] != right[1]


def test_a_row_of_the_table_takes_its_lane(page):
    there = page.locator("#lane input").input_value()
    wanted = next(name for name in ("beta_vae beta=0.1", "beta_vae beta=4") if not there.startswith(name))
    page.get_by_text("all lanes and their scores").click()
    before = pictures(page)
    page.locator("#lanes").get_by_text(wanted).locator("visible=true").first.click()  # a table measures by hidden rows
    page.wait_for_function("name => document.querySelector('#lane input').value.startsWith(name)", arg=wanted)
    assert changes(page, before)[0] == before[0]


def test_nothing_is_asked_of_anybody_else_and_nothing_failed(page, address):
    elsewhere = [url for url in page.asked if not url.startswith((address, "data:", "blob:"))]
    assert page.asked and not elsewhere
    assert not page.wrong
