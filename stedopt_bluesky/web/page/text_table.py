"""A table of texts, as a browser and a screen reader know it; rows that stay are left alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement


@dataclass(frozen=True)
class Line:
    """One row.

    Parameters
    ----------
    texts : sequence of str
        Of each column.
    href : str
        Where the first one leads; empty: nowhere.
    choice : Choice or None
        Of the row, if it can be chosen.
    """

    texts: Sequence[str]
    href: str = ""
    choice: Choice | None = None


@dataclass(frozen=True)
class Choice:
    """A checkbox before a row.

    Parameters
    ----------
    label : str
        What it is, for a screen reader.
    chosen, possible : bool
        Whether it is checked, and can be.
    """

    label: str
    chosen: bool
    possible: bool


@dataclass
class _Row:
    element: Element
    texts: list[TextElement]
    box: Element | None
    line: Line = field(default_factory=lambda: Line(()))

    def show(self, line: Line) -> None:
        """Change what is another one."""
        before, self.line = self.line, line
        if line == before:
            return
        for cell, text in zip(self.texts, line.texts, strict=True):
            cell.set_text(text)
        if line.href:
            self.texts[0].props["href"] = line.href
        if self.box is not None and line.choice is not None:
            self.box.props["aria-label"] = line.choice.label
            self.box.props["checked"] = line.choice.chosen
            self.box.props["disabled"] = not line.choice.possible


class TextTable:
    """A table of texts.

    Parameters
    ----------
    caption : str
        What it is of.
    choose : callable, optional
        Called with a row's key when its checkbox is pressed.
    """

    def __init__(self, caption: str, choose: Callable[[Any], object] | None = None) -> None:
        self._choose = choose
        self._rows: dict[Hashable, _Row] = {}
        self._columns: tuple[str, ...] | None = None
        with Element("div").classes("w-full overflow-x-auto"), Element("table").classes("texts"):
            _text("caption", caption)
            with Element("thead"):
                self._head = Element("tr")
            self._body = Element("tbody")

    def show(self, columns: Sequence[str], lines: Mapping[Hashable, Line]) -> None:
        """Show rows, by a key of each; those that are shown already keep the focus."""
        if self._columns != tuple(columns):
            self._columns = tuple(columns)
            self._rows.clear()
            self._body.clear()
            self._head.clear()
            with self._head:
                for label in columns:
                    _text("th", label).props("scope=col")
        for key in [key for key in self._rows if key not in lines]:
            self._body.remove(self._rows.pop(key).element)
        for place, (key, line) in enumerate(lines.items()):
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = self._made(key, line)
            row.show(line)
            if self._body.default_slot.children[place] is not row.element:
                row.element.move(target_index=place)

    def _made(self, key: Hashable, line: Line) -> _Row:
        box = None
        texts = []
        with self._body, Element("tr") as element:
            if line.choice is not None:
                with Element("td"):
                    box = Element("input").props("type=checkbox")
                    if self._choose is not None:
                        choose = self._choose
                        box.on("change", lambda: choose(key), args=[])
            for place, text in enumerate(line.texts):
                if place == 0 and line.href:
                    with _text("th", "").props("scope=row"):
                        texts.append(_text("a", text))
                else:
                    texts.append(_text("th" if place == 0 else "td", text))
        if not line.href:
            texts[0].props("scope=row")
        return _Row(element, texts, box)


def _text(tag: str, text: str) -> TextElement:
    return TextElement(tag=tag, text=text)
