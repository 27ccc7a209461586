"""Whether a training resumes with the options that it began with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.file import read_yaml
from ctprune.pretraining.config import PretrainConfig


def refuse_changes(earlier: Mapping[str, Any], config: PretrainConfig, file: Path) -> None:
    """Refuse to resume with other options.

    Args:
        earlier: The options that decide what is learned, as a file has them.
        config: The options now.
        file: The file, for the error message.

    Raises:
        ConfigError: The sentence names the first option that differs.
    """
    for option, value in json.loads(json.dumps(config.deciding())).items():
        if earlier.get(option) != value:
            raise ConfigError(
                f"{option} was {earlier.get(option)} when {file} was written, now it is {value}: resume with the "
                "same options, or start again in another folder",
                field=option,
            )


def refuse_changes_since(file: Path, config: PretrainConfig) -> None:
    """Refuse to resume with other options than a training's `config.yaml` has, before anything is done.

    What the file does not say, or cannot, is left to the checkpoint, which is compared later.

    Raises:
        ConfigError: The sentence names the first option that differs.
    """
    try:
        said = read_yaml(file)
        earlier = PretrainConfig.from_dict(said).deciding()
    except ConfigError:
        return
    known = {name: value for name, value in earlier.items() if name in said}
    refuse_changes(json.loads(json.dumps(config.deciding() | known)), config, file)
