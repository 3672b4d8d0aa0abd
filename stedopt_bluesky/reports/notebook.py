"""What is shown in a notebook's cell: rich's tables, as text and as HTML."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType

_COLUMNS = 100


def in_notebook() -> bool:
    """Whether this program is a Jupyter kernel: what is displayed goes to a cell's output."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def cell_output(what: RenderableType) -> dict[str, str]:
    """Make what a cell shows of something that rich can print: by MIME type."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=_COLUMNS,
        force_terminal=False,
        force_jupyter=False,
        highlight=False,
        legacy_windows=False,
    )
    console.print(what)
    text = console.export_text(clear=False)
    # Escaped by rich: what a document holds is no HTML.
    html = console.export_html(
        inline_styles=True, code_format='<pre style="line-height:normal">{code}</pre>'
    )
    return {"text/plain": text, "text/html": html}


def display_function() -> Callable[..., Any]:
    """Return ``IPython.display.display``."""
    from IPython.display import display

    return display
