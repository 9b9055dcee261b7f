"""A picture of the page of `jaxvae explore`, and how many frames a second a hand on a slider sees there.

python experiments/explore_page.py runs/quickstart --beside=factor_vae --picture=experiments/figures/explore.png

Opens the page in a browser that is there (Chromium or Chrome, driven by playwright: pip install 'jaxvae[browser]') and
drags a slider to and fro by the mouse. A frame is a change of the decoded picture in the page; a delay is the time from
the slider's last event before it. So both hold everything: browser, HTTP, event handler, decoding and drawing.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
WATCH = """() => {
  const view = document.querySelector('#left-view'), now = () => view.querySelector('.now img');
  let last = now().src, touched = 0;
  window.frames_seen = []; window.delays_seen = [];
  document.querySelector('#left-latent-0').addEventListener('input', () => { touched = performance.now(); }, true);
  new MutationObserver(() => {
    const image = now();
    if (image && image.src !== last) {
      last = image.src;
      window.frames_seen.push(performance.now());
      window.delays_seen.push(performance.now() - touched);
    }
  }).observe(view, { childList: true, subtree: true, attributes: true });
}"""


def main() -> None:
    """Open, drag, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as for jaxvae explore")
    parser.add_argument("--beside", help="words of the lane to put beside the first one, for the picture")
    parser.add_argument("--image", type=int, help="number of the image to start from")
    parser.add_argument("--picture", help="where to write the picture of the page")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to drag")
    parser.add_argument("--dark", action="store_true", help="the page as dark as the night")
    given, others = parser.parse_known_args()  # --dataset=… and the like are for the page
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit(f"no browser is there ({', '.join(BROWSERS)})")
    command = [sys.executable, "-m", "jaxvae", "explore", *given.models, *others, "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving, sync_playwright() as driver:
        try:
            address = next(found[0] for found in map(re.compile(r"http://\S+").match, serving.stdout) if found)
            opened = driver.chromium.launch(executable_path=path, args=FLAGS)
            scheme = "dark" if given.dark else "light"
            page = opened.new_page(viewport={"width": 1300, "height": 900}, color_scheme=scheme)
            page.goto(address)
            page.wait_for_selector("#left-view img", timeout=60_000)
            if given.seconds > 0:
                drag(page, given.seconds)
            if given.picture:
                show(page, given)
            opened.close()
        finally:
            serving.terminate()


def drag(page, seconds: float) -> None:
    """Drag the first slider to and fro, and print how often what is decoded has changed."""
    page.wait_for_timeout(1000)  # until everything has its place
    box = page.locator("#left-latent-0 input[type=range]").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, y, steps=3)
    page.wait_for_timeout(500)
    page.evaluate(WATCH)
    end, step = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        step += 1
        share = abs(step % 200 - 100) / 100  # to and fro
        page.mouse.move(box["x"] + box["width"] * (0.05 + 0.9 * share), y)
    page.mouse.up()
    page.wait_for_timeout(500)
    frames, delays = page.evaluate("[window.frames_seen, window.delays_seen]")
    rate = (len(frames) - 1) / (frames[-1] - frames[0]) * 1000
    print(
        f"{len(frames)} frames of {step} moves: {rate:.1f} frames/s, "
        f"delay {statistics.median(delays):.0f} ms (median), {sorted(delays)[int(0.95 * len(delays))]:.0f} ms (95%)"
    )


def show(page, given: argparse.Namespace) -> None:
    """Write a picture of the page as somebody has left it."""
    if given.image is not None:
        page.locator("#number input").fill(str(given.image))
        page.wait_for_timeout(2000)
    if given.beside:
        page.locator("#beside input").click()
        page.get_by_role("option").filter(has_text=given.beside).first.click()
        page.wait_for_selector("#right-view img", timeout=60_000)
    page.wait_for_timeout(1500)
    page.locator("#left-latent-0 input[type=range]").focus()
    for _ in range(4):
        page.keyboard.press("PageDown")
    page.wait_for_timeout(1000)
    height = page.evaluate("document.querySelector('.gradio-container').getBoundingClientRect().height")
    page.set_viewport_size({"width": 1300, "height": int(min(height, 1100))})
    page.wait_for_timeout(500)
    page.screenshot(path=given.picture)


if __name__ == "__main__":
    main()
