"""A reduction with its report."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctprune
from tests.report.page import Page


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    ctprune.reduce(archive, out=folder)
    ctprune.write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(run / "report.html")
