"""JSON files with a version: what is not one, or of another version, gets one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctprune
from ctprune.files.json_files import read_versioned, write_json


def test_what_is_written_is_read(tmp_path: Path) -> None:
    content = {"model_version": 2, "ctprune_version": "1.0", "classes": ["gesund", "Ödem"]}
    write_json(tmp_path / "model.json", content)
    found = read_versioned(tmp_path / "model.json", "model", 2, error=ctprune.WeightsError, missing="none")
    assert found == {"classes": ["gesund", "Ödem"]}
    assert "Ödem" in (tmp_path / "model.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3", "null", "{}", '{"model_version": 2}'])
def test_another_file_gets_the_sentence(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "model.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ctprune.WeightsError, match=r"^expected a model$"):
        read_versioned(file, "model", 2, error=ctprune.WeightsError, missing="expected a model")


def test_another_version_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    write_json(file, {"metrics_version": 1, "ctprune_version": "1.0"})
    with pytest.raises(ctprune.SourceError) as refused:
        read_versioned(file, "metrics", 2, error=ctprune.SourceError, missing="none")
    assert str(refused.value) == f"{file}: metrics version 1, but this ctprune reads 2"
    with pytest.raises(ctprune.SourceError) as refused:
        read_versioned(file, "metrics", 2, error=ctprune.SourceError, missing="none", named=tmp_path)
    assert str(refused.value) == f"{tmp_path}: metrics version 1, but this ctprune reads 2"
