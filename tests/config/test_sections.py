from stedopt_bluesky.config import ExperimentConfig
from stedopt_bluesky.config.sections import ObjectiveConfig, Section, section_of
from stedopt_bluesky.objectives import OBJECTIVES


def sections() -> list[type[Section]]:
    """All sections, and those inside of them."""
    found: list[type[Section]] = []
    models: list[type[Section]] = [ExperimentConfig]
    while models:
        for field in models.pop().model_fields.values():
            inner = section_of(field.annotation)
            if inner is not None and inner not in found:
                found.append(inner)
                models.append(inner)
    return found


def test_every_field_of_every_section_says_what_it_is() -> None:
    assert len(sections()) == 28
    for section in (ExperimentConfig, *sections()):
        for name, field in section.model_fields.items():
            inner = field.annotation
            of_its_own = isinstance(inner, type) and issubclass(inner, Section)
            assert field.description or of_its_own, f"{section.__name__}.{name}"


def test_the_objectives_that_the_description_names_are_there() -> None:
    description = ObjectiveConfig.model_fields["name"].description or ""
    named = description.split(", ...")[0].split(", ")
    assert set(named) < set(OBJECTIVES)
