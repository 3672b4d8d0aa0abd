"""Debian's chromium, headless, driven by Selenium."""

import contextlib
import os
import shutil

import pytest


@contextlib.contextmanager
def browser(folder):
    """Start one with a profile of its own; skips where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver here")
    os.environ["SE_OFFLINE"] = "true"  # Selenium would look for another browser to download
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
        "--window-size=1200,1000", f"--user-data-dir={folder}",
    ):  # fmt: skip
        options.add_argument(argument)
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield running
    finally:
        running.quit()
