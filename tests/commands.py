"""Command lines read as the program reads them, without doing what they say."""

import typer

from stedopt_bluesky.cli import app


def parsed(arguments):
    """Context of the last command of a command line, without the ``stedopt`` before it.

    Raises what the program would tell: a command, an option or a value that there is none of.
    """
    context = typer.main.get_command(app).make_context("stedopt", list(arguments))
    while rest := [*context._protected_args, *context.args]:
        name, found, arguments = context.command.resolve_command(context, rest)
        context = found.make_context(name, arguments, parent=context)
    assert not hasattr(context.command, "commands"), f"{context.command_path}: and which of them?"
    return context
