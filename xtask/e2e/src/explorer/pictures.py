"""Takes pictures of the explorer for the documents. Arguments: URL, directory."""

import base64
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

URL, DIRECTORY = sys.argv[1], Path(sys.argv[2])
QUALITY = 76


def first(page, path, start):
    page.goto(URL + path)
    return page.locator(f"main a[href^='{start}']").first.get_attribute("href")


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        incident = first(page, "/incidents?q=batch", "/incident/")
        workload = first(page, "/?q=web-0", "/workload/")
        for name, path, width, height, scheme in [
            ("explorer", "/?q=shop", 1180, 560, "light"),
            ("explorer-workload", workload, 1180, 900, "dark"),
            ("explorer-incident", incident, 1180, 1000, "light"),
            ("explorer-phone", "/?q=shop", 360, 640, "light"),
        ]:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.goto(URL + path)
            page.wait_for_load_state("networkidle")
            tools = context.new_cdp_session(page)
            # Playwright itself writes no WebP, which is a third of a PNG.
            picture = tools.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
            (DIRECTORY / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))
            context.close()
        browser.close()


main()
