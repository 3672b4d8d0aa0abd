"""Runs as one page of HTML that holds all that it shows, and opens without a network."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from stedopt_bluesky.reports.labels import ARROWS, axis_label
from stedopt_bluesky.reports.run_figures import Figures
from stedopt_bluesky.reports.summary import ImageRow, RunReport

_STYLE = (
    "body{font-family:sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .7rem;text-align:right}"
    "th{border-bottom:2px solid #1a1a1a}td{border-bottom:1px solid #ddd}td:first-child,"
    "th:first-child{text-align:left}img{max-width:100%}figcaption{color:#444;font-size:.9rem}"
    "pre{white-space:pre-wrap;background:#f4f4f4;padding:1rem}"
)
# Nothing is fetched and nothing is run, whatever a name holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_BEST = 5


def html_report(runs: Sequence[tuple[RunReport, Figures]]) -> str:
    """Write runs as a page.

    Parameters
    ----------
    runs : sequence of (RunReport, figures)
        What each run came to, and its figures, from `figures_of`; none of a run without images.

    Returns
    -------
    str
        HTML, in UTF-8.
    """
    body = [f"<h1>{len(runs)} runs</h1>", _overview([r for r, _ in runs])] if len(runs) > 1 else []
    body += [_run(report, figures) for report, figures in runs]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_title(runs[0][0]) if len(runs) == 1 else f'{len(runs)} runs')}</title>"
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def methods(report: RunReport) -> str:
    """Say how a run was made, as a paragraph for a methods section.

    What a run's start document does not tell is left out.
    """
    config = (report.start.get("stedopt") or {}).get("config") or {}
    version = (report.start.get("stedopt") or {}).get("version", "")
    bandit, choice = config.get("bandit") or {}, config.get("choice") or {}
    parameters = ", ".join(_range(p) for p in config.get("parameters") or ())
    objectives = ", ".join(
        f"{axis_label(o.name)} ({_better(o.direction)})" for o in report.objectives
    )
    networks = "; ".join(
        f"the {purpose} network {n.get('name', '')} (SHA-256 {n.get('sha256', '')})"
        for purpose, n in (report.start.get("networks") or {}).items()
        if isinstance(n, Mapping)
    )
    microscope = (config.get("microscope") or {}).get("kind") or report.start.get("microscope")
    simulated = " (simulated)" if microscope == "twin" else ""
    imaging = config.get("imaging") or {}
    fixed = ", ".join(f"{axis_label(k)} {v:g}" for k, v in imaging.items() if _is_number(v))
    sentences = [
        f"{_count(len(report.rows))} of {_of(report.start.get('sample'), 'a sample')} "
        f"{'was' if len(report.rows) == 1 else 'were'} imaged on {_of(microscope, 'a microscope')}"
        f"{simulated} by {f'stedopt_bluesky {version}'.rstrip()}, run {report.uid}",
        f"optimised were {parameters}" if parameters else "",
        f"by {objectives}" if objectives else "",
        f"options were drawn by {bandit.get('strategy')} ({bandit.get('adaptation')}, seed "
        f"{report.start.get('seed')})" if bandit else "",
        f"the trade-off was chosen by the rule {choice.get('rule')}" if choice else "",
        f"used were {networks}" if networks else "",
        f"of every image, unless it was optimised: {fixed}" if fixed else "",
    ]  # fmt: skip
    return ". ".join(s[0].upper() + s[1:] for s in sentences if s) + "."


def _run(report: RunReport, figures: Figures) -> str:
    start = report.start
    begun = datetime.fromtimestamp(float(start.get("time", 0))).astimezone()
    facts = {
        "run": report.uid,
        "begun": f"{begun:%Y-%m-%d %H:%M %Z}",
        "ended": f"{report.exit_status}{f', {report.reason}' if report.reason else ''}",
        "images": f"{len(report.rows)} of {report.images_planned}",
        **{k: start[k] for k in ("sample", "structure", "preset", "operator") if start.get(k)},
    }
    listed = "".join(
        f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items()
    )
    parts = [f"<section><h2>{escape(_title(report))}</h2>", f"<table>{listed}</table>"]
    if report.rows:
        parts += ["<h3>The best images</h3>", _images(report, report.best(_BEST))]
    for name, (caption, png) in figures.items():
        data = base64.b64encode(png).decode("ascii")
        parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption><b>{escape(name)}</b>. {escape(caption)}</figcaption></figure>"
        )
    parts += ["<h3>Methods</h3>", f"<pre>{escape(methods(report))}</pre></section>"]
    return "\n".join(parts)


def _images(report: RunReport, rows: Sequence[ImageRow]) -> str:
    parameters, objectives = list(report.parameter_units), report.objectives
    heads = ["image", *(axis_label(name) for name in parameters)]
    heads += [f"{axis_label(o.name)} {ARROWS[o.direction]}" for o in objectives]
    lines = [
        [
            str(row.number),
            *(f"{row.parameters[name]:.4g}" for name in parameters),
            *(_shown(row.objectives[o.name]) for o in objectives),
            _shown(row.utility),
        ]
        for row in rows
    ]
    return _table([*heads, "utility ↑"], lines)


def _overview(reports: Sequence[RunReport]) -> str:
    """What each run has reached: the median of its last ten images."""
    from statistics import median

    names = list(dict.fromkeys(o.name for report in reports for o in report.objectives))
    lines = []
    for report in reports:
        last = report.rows[-10:]
        line = [report.uid[:8], str(report.start.get("sample", "")), str(len(report.rows))]
        for name in names:
            valid = [v for row in last if not math.isnan(v := row.objectives.get(name, math.nan))]
            line.append(_shown(median(valid) if valid else math.nan))
        lines.append(line)
    heads = ["run", "sample", "images", *(axis_label(name) for name in names)]
    return "<p>Medians of the last ten images.</p>" + _table(heads, lines)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f"<table><tr>{top}</tr>{rows}</table>"


def _title(report: RunReport) -> str:
    return f"Run {report.uid[:8]}: {_of(report.start.get('sample'), 'no name')}"


def _of(value: Any, otherwise: str) -> str:
    return str(value) if value else otherwise


def _range(parameter: Any) -> str:
    if not isinstance(parameter, Mapping):
        return ""
    name = str(parameter.get("name", ""))
    label, _, unit = axis_label(name).partition(" (")
    if values := parameter.get("values"):
        return f"{label} ({', '.join(f'{v:g}' for v in values)} {unit.rstrip(')')})".replace(
            " )", ")"
        )
    return (
        f"{label} ({parameter.get('low')} to {parameter.get('high')} {unit.rstrip(')')}, "
        f"{parameter.get('points')} values)"
    )


def _count(regions: int) -> str:
    return "1 region" if regions == 1 else f"{regions} regions"


def _better(direction: str) -> str:
    return "more is better" if direction == "maximise" else "less is better"


def _shown(value: float) -> str:
    return "invalid" if math.isnan(value) else f"{value:.3g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
