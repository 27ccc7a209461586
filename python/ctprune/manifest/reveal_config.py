"""The options with which a command finds the files behind a manifest's pseudonyms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ctprune.errors import ConfigError
from ctprune.options.check import check
from ctprune.options.described import described
from ctprune.options.option import option

_NAMES = "Pseudonyms"


@described
@dataclass(frozen=True, kw_only=True)
class RevealConfig:
    """Key and sources of a reduction with pseudonyms.

    Raises:
        ConfigError: Only one of the two is given.
    """

    key: str | None = option(
        None,
        decides=False,
        is_path=True,
        metavar="KEYFILE",
        panel=_NAMES,
        help="Key of a reduction with pseudonyms, to find the files behind them.",
    )
    source: tuple[str, ...] = option(
        (),
        decides=False,
        noun="folders, files or addresses",
        is_path=True,
        metavar="SOURCE",
        panel=_NAMES,
        help="With `key`: folder, file or address that the reduction was made from; repeatable.",
    )

    def __post_init__(self) -> None:
        check(self)
        if (self.key is None) != (not self.source):
            raise ConfigError("`key` and `source` belong together: give both")


def reveal_given(options: dict[str, Any]) -> None:
    """Find the files behind pseudonyms with these options of `RevealConfig`, if any are given.

    Raises:
        ConfigError: The options cannot be used.
    """
    config = RevealConfig(**options)
    if config.key is not None:
        from ctprune.manifest.pseudonyms import reveal

        reveal(config.key, config.source)
