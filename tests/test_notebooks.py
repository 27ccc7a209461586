"""The notebooks run as they are, and what they show was saved without paths of a machine."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["archive-in-ten-minutes", "all-against-reduced"])
def test_notebooks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    saved = file.read_text(encoding="utf-8")
    assert "/tmp" not in saved
    assert "/home" not in saved
    # Where they write to.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # A cell that raises ends it with the cell and its traceback.
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    expected = [cell.outputs for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    for now, before in zip(shown, expected, strict=True):
        kinds = [output.output_type for output in now if output.get("name") != "stderr"]
        assert kinds == [output.output_type for output in before]
