"""Small folders with the names that the how-to's and the page of known archives use."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image

import ctprune
from ctprune.networks.backbone import create_backbone, save_backbone


def write_stand_ins(folder: Path) -> None:
    """All of them, in this folder."""
    phantom = folder / "dicoms"
    ctprune.phantom.write_archive(phantom, patients=2, size=64, slices=24)
    for copy in ("archive", "manifest-1600709154662/LIDC-IDRI", "DVD/IMAGES"):
        shutil.copytree(phantom, folder / copy)
    one = next(iter(ctprune.reduce(phantom).kept()["path"]))
    other = pydicom.dcmread(phantom / one)
    other.Modality = "MR"
    other.save_as(folder / "archive" / "mr.dcm")
    _write_dicomdir(folder / "DVD")
    random = np.random.default_rng(1)
    pictures = folder / "lidc-png"
    pictures.mkdir()
    for name in ("LIDC-IDRI-0001_000", "LIDC-IDRI-0001_001", "LIDC-IDRI-0002_000"):
        Image.fromarray(random.integers(0, 256, (64, 64), np.uint8)).save(pictures / f"{name}.png")
    volume = random.integers(-1000, 1000, (32, 32, 4)).astype(np.int16)
    for file in (
        "Task03_Liver/imagesTr/liver_0.nii.gz",
        "CT-RATE/dataset/train/train_1/train_1_a/train_1_a_1.nii.gz",
        "CT-RATE/dataset/train/train_1/train_1_a/train_1_a_2.nii.gz",
    ):
        _write_nifti(folder / file, volume)
    _write_nifti(folder / "Task03_Liver/labelsTr/liver_0.nii.gz", (volume > 0).astype(np.int16))
    network = create_backbone("test_resnet")
    save_backbone(network, folder / "backbone.safetensors", name="test_resnet", metadata={})


def _write_nifti(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), file)


def _write_dicomdir(folder: Path) -> None:
    from pydicom.fileset import FileSet

    from tests.file_sets import write_file_set

    files = FileSet()
    files.ID = "EXPORT"
    for file in sorted((folder / "IMAGES").rglob("*.dcm")):
        files.add(file)
    shutil.rmtree(folder / "IMAGES")
    write_file_set(files, folder)
