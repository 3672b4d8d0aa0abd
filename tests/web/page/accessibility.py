"""Whether a page can be used by everybody: axe's rules, and the keyboard alone."""

import io
import time
from dataclasses import dataclass
from pathlib import Path

import axe_core_python
from PIL import Image, ImageChops
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

AXE = Path(axe_core_python.__file__).parent / "axe.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

# Quasar's changes of colour take a third of a second, in which contrasts are others: they are
# switched off, and what has begun is let end.
_AT_ONCE = """
if (!document.getElementById('at-once')) {
  const style = document.createElement('style');
  style.id = 'at-once';
  style.textContent = '*, *::before, *::after {transition: none !important;' +
    'animation: none !important}';
  document.head.append(style);
}
"""
_SETTLED_S = 0.05

# Tab goes on from where was clicked last, also when nothing has the focus.
_TO_THE_BEGINNING = """
document.body.tabIndex = -1;
document.body.focus();
document.body.removeAttribute('tabindex');
window.scrollTo(0, 0);
"""
# What shows the focus may lie around a control, CSS pixels.
_AROUND = 6
_MOST_CONTROLS = 100

_RUN = """
const [levels, done] = arguments;
axe.run(document, {runOnly: {type: 'tag', values: levels}, resultTypes: ['violations']})
  .then(found => done(found.violations.flatMap(rule => rule.nodes.map(
    node => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`))))
  .catch(error => done([`axe has failed: ${error}`]));
"""
_CONTROLS = """
const those = 'a[href], button, input, select, textarea, [tabindex], [role=button], [role=link]';
return [...document.querySelectorAll(those)].filter(control =>
  control.tabIndex >= 0 && !control.disabled && control.type !== 'hidden' &&
  control.checkVisibility({visibilityProperty: true}));
"""
_NAME = """
const control = arguments[0], by = control.getAttribute('aria-labelledby');
return control.getAttribute('aria-label') || (by && document.getElementById(by)?.innerText) ||
  control.closest('label')?.innerText || control.innerText || control.outerHTML.slice(0, 120);
"""
_RECTANGLE = """
const at = (arguments[0].closest('label, button') || arguments[0]).getBoundingClientRect();
return [at.left, at.top, at.right, at.bottom];
"""


def violations(driver):
    """Break of axe's rules of WCAG 2.1, A and AA, in what is shown now: one line for each."""
    _settle(driver)
    if not driver.execute_script("return typeof axe !== 'undefined'"):
        driver.execute_script(AXE.read_text(encoding="utf-8"))
    return driver.execute_async_script(_RUN, LEVELS)


@dataclass
class Control:
    """What the Tab key has reached: its name, and whether it is seen that it has the focus."""

    name: str
    shows_focus: bool


def reached_by_tab(driver):
    """Go through the page by Tab alone, once around.

    Returns what was reached, in that order, and the names of controls that were not.
    """
    _settle(driver)
    driver.execute_script(_TO_THE_BEGINNING)
    wanted = driver.execute_script(_CONTROLS)
    reached, seen = [], []
    for _ in range(_MOST_CONTROLS):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        control = driver.switch_to.active_element
        if control.tag_name == "body" or control in seen:
            break
        seen.append(control)
        reached.append(Control(_name(driver, control), _shows_focus(driver, control)))
    return reached, [_name(driver, control) for control in wanted if control not in seen]


def _settle(driver):
    driver.execute_script(_AT_ONCE)
    time.sleep(_SETTLED_S)


def _name(driver, control):
    return " ".join(driver.execute_script(_NAME, control).split())


def _shows_focus(driver, control):
    """Whether anything on or around a control looks otherwise without the focus."""
    time.sleep(_SETTLED_S)
    with_focus = _picture(driver, control)
    driver.execute_script("arguments[0].blur()", control)
    time.sleep(_SETTLED_S)
    without = _picture(driver, control)
    driver.execute_script("arguments[0].focus({preventScroll: true, focusVisible: true})", control)
    return ImageChops.difference(with_focus, without).getbbox() is not None


def _picture(driver, control):
    left, top, right, bottom = driver.execute_script(_RECTANGLE, control)
    with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as page:
        scale = page.width / driver.execute_script("return window.innerWidth")
        box = (left - _AROUND, top - _AROUND, right + _AROUND, bottom + _AROUND)
        return page.convert("RGB").crop([round(edge * scale) for edge in box])
