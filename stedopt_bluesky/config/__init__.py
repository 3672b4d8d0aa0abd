"""The experiment's configuration: one TOML file, every field with its unit, nothing ignored.

A field that is misspelt, out of range or of the wrong type is refused with one
line that names it, its value and what is allowed (:class:`ConfigError`).
Presets are the paper's experiments (Durand et al., Nat. Commun. 9:5247, 2018).
"""

from stedopt_bluesky.config.errors import ConfigError
from stedopt_bluesky.config.experiment import LEARN_FROM_PRIOR, ExperimentConfig, parse_config
from stedopt_bluesky.config.files import (
    DEFAULT_PRESET,
    commented_toml,
    load_config,
    preset,
    preset_names,
)
from stedopt_bluesky.config.parameters import PARAMETER_UNITS
from stedopt_bluesky.config.sections import MAX_CONFIGURATIONS

__all__ = [
    "DEFAULT_PRESET",
    "LEARN_FROM_PRIOR",
    "MAX_CONFIGURATIONS",
    "PARAMETER_UNITS",
    "ConfigError",
    "ExperimentConfig",
    "commented_toml",
    "load_config",
    "parse_config",
    "preset",
    "preset_names",
]
