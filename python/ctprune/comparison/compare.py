"""From folders of results to a folder with the comparison."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ctprune.comparison.comparison import Comparison, compare_results
from ctprune.comparison.result import load_result, merge_by_name
from ctprune.errors import ConfigError
from ctprune.files.atomic import check_writable, replace_file

JSON_NAME = "comparison.json"
PAGE_NAME = "comparison.html"
MARKDOWN_NAME = "table.md"
LATEX_NAME = "table.tex"


def compare(
    runs: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    names: Sequence[str] | None = None,
    reference: str | None = None,
    contrasts: Sequence[Sequence[str]] | None = None,
    margin: float | None = None,
    correction: str = "holm",
    resamples: int = 500,
    seed: int = 0,
    title: str | None = None,
) -> Comparison:
    """Compare results of `ctprune.finetune` that were measured on the same images.

    Intervals and tests count what the images (whole patients, where they are known) and what the trainings vary
    by. Results of one name are pre-trainings of one way with different seeds: with several of them the noise of
    training is that between pre-trainings, with one that between its fine-tunings, and the verdict speaks of that
    one backbone alone. DeLong's test is that of the predictions averaged over trainings, for each class against
    the rest where there are more than two.

    Args:
        runs: Folders of two or more finished results.
        out: Folder for `comparison.json`, `comparison.html`, `table.md` and `table.tex`; None writes nothing.
        names: What to call the results; default the folders' names. Equal names make one result of several
            pre-trainings.
        reference: Compare each result with this one alone; default every pair.
        contrasts: Pairs of names, the comparisons that were planned.
        margin: A difference in AUC that does no harm; also test that each one is smaller.
        correction: For many comparisons: `holm` or `benjamini-hochberg`.
        resamples: Of the bootstrap, which serves intervals of measures other than the AUC.
        seed: Of the bootstrap; the same gives the same numbers.
        title: Heading of the page.

    Raises:
        SourceError: A folder is not there.
        EvaluationError: A folder holds no finished result, or they cannot be compared with each other.
        ConfigError: An option cannot be used.
        OutputError: The result cannot be written.
    """
    if names is not None and len(names) != len(runs):
        raise ConfigError(f"--name: expected one for each of {len(runs)} results, found {len(names)}")
    if out is not None:
        check_writable(Path(out))
    called = _distinct_names(runs) if names is None else list(names)
    results = merge_by_name([load_result(run, name=name) for run, name in zip(runs, called, strict=True)])
    found = compare_results(
        results,
        reference=reference,
        contrasts=contrasts,
        correction=correction,
        margin=margin,
        resamples=resamples,
        seed=seed,
    )
    if out is not None:
        shown = [result.name for result in results]
        write_comparison(
            found, Path(out), title=title or " against ".join(shown[:3]) + (" …" if shown[3:] else "")
        )
    return found


def write_comparison(comparison: Comparison, out: Path, *, title: str) -> None:
    """Write a comparison's four files; `comparison.json`, the last one, says that all are there."""
    from ctprune.comparison.page import write_page
    from ctprune.comparison.tables import latex, markdown

    texts = {MARKDOWN_NAME: markdown(comparison), LATEX_NAME: latex(comparison)}
    write_page(out / PAGE_NAME, {"Result": comparison}, title=title)
    texts[JSON_NAME] = json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        with replace_file(out / name) as beside:
            beside.write_text(text, encoding="utf-8")


def _distinct_names(runs: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The folders' own names, with as many of their parents as it takes to tell them apart."""
    paths = [Path(os.path.abspath(run)).parts for run in runs]
    for depth in range(1, max(map(len, paths), default=1) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise ConfigError("a result is named twice: name each folder once")
