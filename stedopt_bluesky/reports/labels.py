"""Names as people read them: in words, the unit in brackets."""

from __future__ import annotations

_UNITS = {
    "uW": "µW",
    "mW": "mW",
    "us": "µs",
    "nm": "nm",
    "s": "s",
    "um": "µm",
    "ns": "ns",
    "mJ": "mJ",
}


# After an objective's label: where it is better.
ARROWS = {"maximise": "↑", "minimise": "↓"}

# Words that would make a column of a table wider than what stands in it.
_HYPHENATED = {
    "photobleaching": "photo- bleaching",
    "resolution": "reso- lution",
    "autocorrelation": "auto- corre- lation",
}


def axis_label(name: str) -> str:
    """Turn a field's name into a label: ``"depletion_power_mW"`` → ``"depletion power (mW)"``."""
    name = name.replace("df_over_f", "ΔF/F")
    stem, _, unit = name.rpartition("_")
    if stem and unit in _UNITS:
        return f"{stem.replace('_', ' ')} ({_UNITS[unit]})"
    return name.replace("_", " ")


def heading(name: str) -> str:
    r"""Turn a field's name into a narrow heading of a column, one word a line.

    ``"depletion_power_mW"`` → ``"depletion\npower\n(mW)"``.
    """
    words = [_HYPHENATED.get(word, word) for word in axis_label(name).split()]
    return "\n".join(" ".join(words).split())
