"""A person who chooses: how long is waited for an answer, and what happens without one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stedopt_bluesky.config.sections import Section


class ExpertConfig(Section):
    """A person who is asked for each choice, with `stedopt run --expert` or `--terminal`."""

    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600.0, description="How long is waited for each choice, s, pauses not counted; to a day."
    )
    if_late: Literal["rule", "wait", "stop"] = Field(
        "rule",
        description="Without a choice by then: 'rule', what section [choice] says; 'wait', on, "
        "however long it takes; 'stop', the run ends.",
    )
    undo_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.0, description="How long a choice can be taken back before its image is taken, s."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of the page on this computer; 0: any that is free."
    )
