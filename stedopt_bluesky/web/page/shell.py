"""What stands around every view: the way to the others, and where the view begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

# By what it is called in the header; what is shown is called "... - stedopt".
PLACES = {"Now": "/", "Runs": "/runs"}
_VIEW = "view"
_STYLE = """
.skip { position: absolute; left: -100em; }
.skip:focus { left: 1em; top: 1em; z-index: 3000; background: white; padding: 0.5em; }
.nicegui-content a { color: #0b57a4; }
header a { color: white; padding: 0.25em 0.5em; }
header a[aria-current] { border-bottom: 2px solid white; }
header a:focus-visible { outline: 2px solid white; }
table.texts { border-collapse: collapse; text-align: left; }
table.texts caption { text-align: left; font-weight: bold; padding: 0.25em 0; }
table.texts th, table.texts td { padding: 0.25em 0.75em; border-bottom: 1px solid #ccc; }
table.texts tbody tr { position: relative; }
table.texts tbody tr:hover { background: #eef3f9; }
table.texts th a { text-decoration: underline; }
table.texts th a::after { content: ""; position: absolute; inset: 0; }
table.texts input { position: relative; z-index: 1; width: 1.25em; height: 1.25em; }
"""


@contextlib.contextmanager
def shell(title: str, here: str = "") -> Iterator[None]:
    """Put a view between header and end of the page, while entered.

    Parameters
    ----------
    title : str
        What the view is called.
    here : str
        Which of `PLACES` it is; ``""``: none of them.
    """
    from nicegui import context, ui

    ui.page_title(f"{title} - stedopt")
    ui.colors(primary="#0b57a4")  # white letters on it can be read
    ui.add_css(_STYLE)
    # Not fixed: what has the focus would lie below it.
    with ui.header(fixed=False).classes("items-center py-2"):
        ui.link("Skip to the view", f"#{_VIEW}").classes("skip")
        ui.label("stedopt").classes("font-bold")
        with ui.element("nav").props('aria-label="Views"'):
            for name, address in PLACES.items():
                current = ' aria-current="page"' if name == here else ""
                ui.link(name, address).props(current)
    # Quasar's page is the element `main`, in which all that follows stands.
    context.client.content.props(f"id={_VIEW} tabindex=-1")
    yield
