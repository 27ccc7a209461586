"""Three made-up results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparison.made_up import LABELS, NOISE
from tests.results import predictions, write_result


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A poor model without pre-training and two good ones that hardly differ."""
    folder = tmp_path_factory.mktemp("results")
    models = {
        "ft-none": (0.5, None),
        "ft-all": (1.5, {"slices": 3481, "seconds": 1900.0}),
        "ft-hash": (1.52, {"slices": 1200, "seconds": 640.0}),
    }
    for number, (name, (skill, weights)) in enumerate(models.items()):
        model = predictions(LABELS, skill=skill, seeds=3, seed=number, shared=NOISE)
        write_result(folder / name, LABELS, model, weights=weights)
    return [folder / name for name in models]
