"""From folders of results to a folder with the comparison."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune.comparison.comparison import Comparison, compare_results
from ctprune.comparison.config import CompareConfig, CompareOptions
from ctprune.comparison.result import load_result, merge_by_name
from ctprune.errors import ConfigError
from ctprune.files.atomic import folder_for_results, replace_file
from ctprune.options.configure import configure

if TYPE_CHECKING:
    from typing_extensions import Unpack

JSON_NAME = "comparison.json"
PAGE_NAME = "comparison.html"
MARKDOWN_NAME = "table.md"
LATEX_NAME = "table.tex"


def compare(
    results: Sequence[str | os.PathLike[str]],
    config: CompareConfig | None = None,
    /,
    *,
    out: str | os.PathLike[str] | None = None,
    title: str | None = None,
    **options: Unpack[CompareOptions],
) -> Comparison:
    """Compare results of `ctprune.finetune` that were measured on the same images.

    The AUC decides whether results differ; for levels the quadratic weighted kappa, for numbers the mean absolute
    error. Intervals and tests include the variation between images (by patient if patients are known) and between
    trainings. Results with the same name are pre-trainings of one kind with different seeds. With several of them,
    the training noise is the variation between pre-trainings. With one, it is the variation between its
    fine-tunings, and the verdict holds for that one backbone only. DeLong's test uses predictions averaged over
    trainings, for each class against the rest if there are more than two classes, and for each of several labels.

    Args:
        results: Folders of two or more finished results.
        config: What to compare; cannot be combined with single options.
        out: Folder for `comparison.json`, `comparison.html`, `table.md` and `table.tex`; None writes nothing.
        title: Heading of the page.
        options: Those of `ctprune.CompareConfig`, such as `reference="all"`.

    Raises:
        SourceError: A folder is not there.
        EvaluationError: A folder holds no finished result, or the results cannot be compared with each other.
        ConfigError: An option cannot be used.
        OutputError: The result cannot be written.
    """
    config = configure(CompareConfig, config, options)
    if config.names is not None and len(config.names) != len(results):
        raise ConfigError(
            f"names: expected one for each of {len(results)} results, found {len(config.names)}", field="names"
        )
    called = _distinct_names(results) if config.names is None else config.names
    with nullcontext() if out is None else folder_for_results(Path(out)):
        loaded = merge_by_name(
            [load_result(folder, name=name) for folder, name in zip(results, called, strict=True)]
        )
        found = compare_results(loaded, config)
        if out is not None:
            shown = [result.name for result in loaded]
            write_comparison(
                found, Path(out), title=title or " against ".join(shown[:3]) + (" …" if shown[3:] else "")
            )
    return found


def write_comparison(comparison: Comparison, out: Path, *, title: str) -> None:
    """Write a comparison's four files; `comparison.json` comes last and marks the comparison as complete."""
    from ctprune.comparison.page import write_page
    from ctprune.comparison.tables import latex, markdown

    texts = {MARKDOWN_NAME: markdown(comparison), LATEX_NAME: latex(comparison)}
    write_page(out / PAGE_NAME, {"Result": comparison}, title=title)
    texts[JSON_NAME] = json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        with replace_file(out / name) as beside:
            beside.write_text(text, encoding="utf-8")


def _distinct_names(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The folders' names, with as many of their parents as are needed to tell them apart."""
    paths = [Path(os.path.abspath(folder)).parts for folder in folders]
    for depth in range(1, max(map(len, paths), default=1) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise ConfigError("a result is named twice: name each folder once")
