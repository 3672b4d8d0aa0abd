"""A person who is asked: for what, how long is waited for an answer, what happens without one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from stedopt_bluesky.config.sections import Section

# What a person can be asked for: which option, how good the images are, which regions of a field.
AskedFor = Literal["choice", "rating", "regions"]


class ExpertConfig(Section):
    """A person who is asked, with `stedopt run --expert` or `--terminal`."""

    asks: Annotated[tuple[AskedFor, ...], Field(strict=False, min_length=1)] = Field(
        ("choice",),
        description="What for: 'choice', which option is imaged; 'rating', how good the images "
        "are; 'regions', where is imaged. At a terminal: 'choice' alone.",
    )
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600.0, description="How long is waited for each answer, s, pauses not counted; to a day."
    )
    if_late: Literal["rule", "wait", "stop"] = Field(
        "rule",
        description="Without an answer by then: 'rule', what section [choice] says, the quality "
        "network, the regions that are proposed; 'wait', on, however long it takes; 'stop', the "
        "run ends.",
    )
    undo_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.0, description="How long an answer can be taken back before it is acted upon, s."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of the page on this computer; 0: any that is free."
    )

    @field_validator("asks")
    @classmethod
    def _each_once(cls, asks: tuple[AskedFor, ...]) -> tuple[AskedFor, ...]:
        if len(set(asks)) != len(asks):
            raise ValueError("each once")
        return asks
