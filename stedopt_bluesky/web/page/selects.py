"""What Quasar leaves out of its lists for those who do not see them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nicegui.elements.select import Select

# The list is there only while it is open, and opens a moment after the event.
_NAME = """() => setTimeout(() => document.querySelectorAll('[role=listbox]:not([aria-label])')
  .forEach(list => list.setAttribute('aria-label', %s)))"""


def name_list(select: Select, label: str) -> Select:
    """Give the list that a select opens a name: the select's own, which screen readers tell."""
    select.on("popup-show", js_handler=_NAME % json.dumps(label))
    return select
