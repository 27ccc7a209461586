"""Files, the page, its figures, names, and the command."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import ctprune
from ctprune.comparison import figures
from ctprune.errors import ConfigError
from tests.conftest import Cli
from tests.printed import result_of


def test_files_are_written_and_the_same_each_time(three: list[Path], tmp_path: Path) -> None:
    for name in "ab":
        ctprune.compare(three, out=tmp_path / name, resamples=200)
    names = ["comparison.html", "comparison.json", "table.md", "table.tex"]
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    found = json.loads((tmp_path / "a" / "comparison.json").read_text())
    assert found["images_by_class"] == {"NonCOVID": 58, "COVID": 60}
    assert [run["slices"] for run in found["runs"]] == [0, 3481, 1200]
    assert found["pairs"][2]["verdict"] == "noise"
    table = (tmp_path / "a" / "table.md").read_text()
    assert "| A | minus B | Difference in AUC |" in table
    assert "| Verdict for A |" in table
    assert table.count("| ft-hash |") == 3
    tex = (tmp_path / "a" / "table.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2
    assert all(line.count("&") == 12 for line in tex.splitlines()[3:8] if line.endswith(r"\\"))


def test_page_is_self_contained_and_names_no_image(three: list[Path], tmp_path: Path) -> None:
    ctprune.compare(three, out=tmp_path, resamples=200, title="All <slices> & fewer")
    page = (tmp_path / "comparison.html").read_text()
    assert "<title>All &lt;slices&gt; &amp; fewer</title>" in page
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page.replace("xlink:href", "href"))
    assert "image-0" not in page + (tmp_path / "comparison.json").read_text()
    assert page.count("<figure") == 5
    assert "within the noise" in page
    # Each mark of the figures has become a color of the page.
    assert "#0b2d0" not in page
    assert "#0b1c0" not in page


def test_long_names_have_room_in_the_figures(three: list[Path], tmp_path: Path) -> None:
    names = [f"{first}-{'x' * 80}-{last}" for first, last in ("ab", "cd", "ef")]
    ctprune.compare(three, names=names, out=tmp_path, resamples=200)
    page = (tmp_path / "comparison.html").read_text()
    drawn = re.findall(r">([^<>]*…[^<>]*)</text>", page)
    assert len(drawn) >= 9
    assert all(len(text) <= 64 for text in drawn)
    assert {text[0] + text[-1] for text in drawn if "−" not in text} == {"ab", "cd", "ef"}


def test_nothing_is_drawn_over_a_name(three: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an interval nor the line of no difference crosses the name of a row, nor an interval a legend."""
    names = [f"{name}-{'x' * 20}" for name in ("none", "all", "hash")]
    found = ctprune.compare(three, names=names, resamples=100)
    drawings: list[tuple[Callable[[Axes], None], tuple[float, float]]] = []
    monkeypatch.setattr(
        figures, "draw_svg", lambda draw, name, description, inches: drawings.append((draw, inches)) or ""
    )
    for draw_figure in (figures.measure_figure, figures.difference_figure, figures.slices_figure):
        draw_figure(found, "tried")
    for draw, inches in drawings:
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        figure.canvas.draw()
        words = [text.get_window_extent() for text in axes.texts]
        words += [legend.get_window_extent() for legend in [*figure.legends, axes.get_legend()] if legend]
        lines = [line.get_window_extent() for line in axes.lines]
        assert words
        assert lines
        assert not any(word.overlaps(line) for word in words for line in lines)


def test_names_and_reference(three: list[Path]) -> None:
    found = ctprune.compare(three, names=["none", "all", "hash"], reference="all", resamples=200)
    assert [(pair.run, pair.other) for pair in found.pairs] == [("none", "all"), ("hash", "all")]
    with pytest.raises(ConfigError, match="reference best: expected one of none, all, hash"):
        ctprune.compare(three, names=["none", "all", "hash"], reference="best")
    with pytest.raises(ConfigError, match="expected one for each of 3 results, found 1"):
        ctprune.compare(three, names=["none"])


def test_folders_of_one_name_are_told_apart(three: list[Path], tmp_path: Path) -> None:
    for parent in "ab":
        shutil.copytree(three[0], tmp_path / parent / "ft")
    found = ctprune.compare([tmp_path / "a" / "ft", tmp_path / "b" / "ft"], resamples=200)
    assert [result.name for result in found.results] == ["a/ft", "b/ft"]
    # Equal models: no difference at all.
    assert (found.pairs[0].differences["auc"].value, found.pairs[0].verdict) == (0, "noise")


def test_command_line(three: list[Path], tmp_path: Path, cli: Cli) -> None:
    result = cli("compare", *three, "--out", tmp_path / "out", "--resamples", "200")
    assert result.returncode == 0
    assert "ft-none" in result.stdout
    assert "is within the noise" in result.stdout
    planned = ("--contrast", "ft-hash,ft-all", "--margin", "0.05", "--resamples", "200")
    as_json = cli("compare", *three, "--out", tmp_path / "out", *planned, "--json")
    found = result_of("compare", as_json.stdout)
    assert found == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(pair["run"], pair["other"], pair["equivalence"]["margin"]) for pair in found["pairs"]] == [
        ("ft-hash", "ft-all", 0.05)
    ]
    unfinished = cli("compare", three[0], tmp_path, "--out", tmp_path / "out")
    assert (unfinished.returncode, unfinished.stderr.count("\n")) == (1, 1)
    assert "found no metrics.json" in unfinished.stderr
    wrong = cli("compare", *three)
    assert (wrong.returncode, "--out is missing" in wrong.stderr) == (2, True)
