"""What tests of the page do in a browser: keys, words, buttons, points of a plot."""

from selenium.webdriver.common.action_chains import ActionChains

from tests.waiting import wait_for


def press(driver, *keys):
    """Press keys where the focus is."""
    ActionChains(driver).send_keys(*keys).perform()


def says(driver, words):
    """Wait until the page shows words, and its script has settled."""
    wait_for(lambda: words in driver.find_element("css selector", "body").text)


def text_of(driver, beginning):
    """Text of the element that begins so; empty while there is none."""
    found = [e.text for e in driver.find_elements("css selector", ".nicegui-label, div")]
    return next((text for text in found if text.startswith(beginning)), "")


def button(driver, words):
    """The button with these words that can be seen."""
    (found,) = [
        e
        for e in driver.find_elements("css selector", "button")
        if words in e.text.lower() and e.is_displayed()
    ]
    return found


def mouse(driver, element, *points):
    """Press at the first point of an element, move, and let go at the last one; from its middle."""
    chain = ActionChains(driver, duration=50)
    chain.move_to_element_with_offset(element, *points[0]).click_and_hold()
    for point in points[1:]:
        chain.move_to_element_with_offset(element, *point)
    chain.release().perform()
