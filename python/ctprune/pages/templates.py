"""Templates of the pages; each package of one has its own beside its code."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def environment_of(package: str) -> jinja2.Environment:
    """The templates in this package's folder `templates` and those of all pages; what one names must be there."""
    import jinja2

    own, shared = (resources.files(name) / "templates" for name in (package, "ctprune.pages"))

    def load(name: str) -> str:
        found = own / name
        return (found if found.is_file() else shared / name).read_text("utf-8")

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style_of(package: str) -> str:
    """The style of all pages, then that of this package's page."""
    shared = (resources.files("ctprune.pages") / "base.css").read_text("utf-8")
    return shared + (resources.files(package) / "templates" / "style.css").read_text("utf-8")
