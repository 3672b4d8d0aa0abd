"""A part of the page that a button opens and closes."""

from __future__ import annotations

from nicegui import ui


class Panel:
    """A heading that is a button, and below it what it opens; enter it to fill it.

    A button, not a heading that can be clicked: Enter on it means nothing else on the page.

    Parameters
    ----------
    title : str
        What it is about.
    opened : bool
        Whether it is open at first.
    """

    def __init__(self, title: str, *, opened: bool = False) -> None:
        self.opened = opened
        with ui.column().classes("w-full gap-1") as self.root:
            self._button = ui.button(title, on_click=self.toggle).props("flat no-caps align=left")
            self._button.classes("w-full").mark(f"panel-{title}")
            with ui.column().classes("w-full gap-1") as self._content:
                self._problem = ui.label("").classes("text-gray-700")
        self._show()

    def __enter__(self) -> Panel:
        self._content.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._content.__exit__()

    def toggle(self) -> None:
        """Open it, or close it."""
        self.opened = not self.opened
        self._show()

    def say(self, text: str) -> None:
        """Say why nothing is shown, or nothing."""
        self._problem.set_text(text)
        self._problem.set_visibility(bool(text))

    def _show(self) -> None:
        self._content.set_visibility(self.opened)
        self._button.props(f"aria-expanded={str(self.opened).lower()}")
        self._button.props(f"icon={'expand_less' if self.opened else 'expand_more'}")
