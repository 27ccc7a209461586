"""The site is built without a warning: every link within it leads somewhere, every docstring is sound."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from docs import api

import ctprune

ROOT = Path(__file__).parents[1]


def test_the_site_is_built_whole_and_asks_no_other_server(tmp_path: Path) -> None:
    command = ["sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", "docs/site"]
    folders = ["--doctree-dir", tmp_path / "doctrees", ".", tmp_path / "site"]
    result = subprocess.run([sys.executable, "-m", *command, *folders], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    site = tmp_path / "site"
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()
    pages = {file.relative_to(site).with_suffix("").as_posix() for file in site.rglob("*.html")}
    written = {file.relative_to(ROOT).with_suffix("").as_posix() for file in ROOT.glob("docs/*.md")}
    assert written <= pages
    reference = (site / "docs" / "api.html").read_text(encoding="utf-8")
    missing = [
        name for names in api.public_names().values() for name in names if f'id="ctprune.{name}"' not in reference
    ]
    # A module's place is named otherwise.
    assert missing == ["phantom", "torch"]
    assert all(f'id="module-ctprune.{name}"' in reference for name in missing)
    for file in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', file.read_text(encoding="utf-8")
        )
        assert not loaded, file


def test_the_page_of_the_api_names_all_and_is_up_to_date() -> None:
    names = [name for names in api.public_names().values() for name in names]
    assert sorted([*names, "__version__"]) == sorted(ctprune.__dir__())
    page = api.PAGE.read_text(encoding="utf-8")
    assert page == api.inserted(page), "run 'python -m docs.api'"
