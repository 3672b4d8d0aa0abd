"""Where the command line writes, and how it says what is wrong."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

# Standard error: progress, tables' company, warnings. Standard output is for scripts.
console = Console(stderr=True, highlight=False)
stdout = Console(highlight=False, soft_wrap=True)


class OneLineErrors(TyperGroup):
    """Says what is wrong with a command line in one line, as every other error is said."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse the command line and run the command; leave with its exit code."""
        arguments = sys.argv[1:] if args is None else list(args)
        common = (args, prog_name, complete_var)
        if not standalone_mode or not arguments:  # without arguments, help is shown
            return super().main(*common, standalone_mode, windows_expand_args, **extra)
        try:
            code = super().main(*common, False, windows_expand_args, **extra)
        except Exception as error:
            # The parser's own errors can say themselves; all others are not for here.
            say = getattr(error, "format_message", None)
            if say is None:
                raise
            context = getattr(error, "ctx", None)
            command = context.command_path if context else program()
            _say("error", f"{_lower_first(say())} (see {command} --help)")
            code = getattr(error, "exit_code", 2)
        sys.exit(code or 0)


def print_json(data: Any) -> None:
    """Write one JSON document to standard output, in ASCII: any terminal or pipe can take it."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def nobody_reads() -> None:
    """Leave what standard output still holds unwritten: whoever read it has had enough."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


# What is wrong with a request, and where it is defined.
_WRONG = {
    "ConfigError": "config.errors",
    "CatalogError": "records.folder",
    "DatasetError": "networks.datasets",
    "ExportError": "records.export",
    "MicroscopeInUseError": "session.occupancy",
    "NoImspectorError": "imspector.connect",
    "TrainingError": "networks.history",
    "WeightsError": "networks.weights",
}


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Say what is wrong with a request in one line, and exit with code 2; no traceback."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _wrong()):
            raise
        fail(str(error))


def _wrong() -> tuple[type[Exception], ...]:
    """Errors that can have been raised: no command waits for the import of the others."""
    places = {name: f"stedopt_bluesky.{place}" for name, place in _WRONG.items()}
    return tuple(getattr(sys.modules[p], name) for name, p in places.items() if p in sys.modules)


def fail(message: str, code: int = 2) -> NoReturn:
    """Write a line to standard error and exit."""
    _say("error", message)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Write a line to standard error and go on."""
    _say("warning", message)


def _say(kind: str, message: str) -> None:
    """Write one line to standard error, whatever the message holds."""
    colour = "bold red" if kind == "error" else "yellow"
    line = " ".join(message.splitlines())
    console.print(f"[{colour}]{kind}:[/] {escape(line)}", soft_wrap=True)


@contextlib.contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show what the package logs as warnings, and Bluesky's tracebacks not at all.

    What ends a run is said once, in plain words, where the run is told of.
    """
    handler = _Warnings(logging.WARNING)
    ours, bluesky = logging.getLogger("stedopt_bluesky"), logging.getLogger("bluesky")
    level = bluesky.level
    ours.addHandler(handler)
    bluesky.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        bluesky.setLevel(level)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        warn(record.getMessage() + (f": {error}" if error else ""))


def program() -> str:
    """Return how this program is called, for commands that are shown to be typed."""
    invoked = Path(sys.argv[0])
    if invoked.match("cli/__main__.py"):
        return f"{shlex.quote(sys.executable)} -m stedopt_bluesky.cli"
    found = shutil.which("stedopt")
    if invoked.stem != "stedopt" or not invoked.exists():
        return "stedopt"
    if found and Path(found).samefile(invoked):
        return "stedopt"
    return shlex.quote(sys.argv[0])


def typed_again(context: typer.Context) -> str:
    """Return the command line of a command, so that it can be typed once more."""
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        given = context.params[name]
        values = list(given) if isinstance(given, list | tuple) else [given]
        option = max(parameter.opts, key=len)
        if parameter.param_type_name == "argument":
            words += [str(value) for value in values]
        elif given is True:
            words.append(option)
        else:
            words += [word for value in values for word in (option, str(value))]
    path = context.command_path.split(" ")[1:]  # the first is the program
    return " ".join([program(), *path, *map(shlex.quote, words)])


def _lower_first(text: str) -> str:
    text = text.rstrip(".")
    return text[:1].lower() + text[1:]
