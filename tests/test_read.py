"""`read_volume` gives the Hounsfield units that pydicom gives, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

import ctprune
from tests.reference import slices as reference


def test_a_series_comes_in_hounsfield_units(ct_file: Path) -> None:
    volume = ctprune.read_volume(ct_file.parent)
    assert volume.hu.dtype == np.float32
    assert len(volume.paths) == len(volume.hu) > 5
    for hu, path in zip(volume.hu, volume.paths, strict=True):
        np.testing.assert_array_equal(hu, reference.hounsfield_units(Path(path)))
    first = pydicom.dcmread(volume.paths[0])
    assert volume.series_instance_uid == first.SeriesInstanceUID
    assert volume.pixel_spacing_mm == pytest.approx(tuple(first.PixelSpacing))
    assert (np.diff(volume.position_mm) > 0).all()


def test_several_volumes_need_a_number(archive: Path) -> None:
    with pytest.raises(ctprune.ConfigError, match="say which one with volume=0"):
        ctprune.read_volume(archive)
    with pytest.raises(ctprune.ConfigError, match="volume 99 does not exist"):
        ctprune.read_volume(archive, volume=99)
    assert ctprune.read_volume(archive, volume=1).hu.ndim == 3


def test_no_volume_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ctprune.SourceError, match="no slice was found"):
        ctprune.read_volume(tmp_path)
    with pytest.raises(ctprune.SourceError, match="no such file or folder"):
        ctprune.read_volume(tmp_path / "nowhere")
