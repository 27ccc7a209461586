"""Who is scanned and when: identifiers that follow from the seed alone, plainly synthetic."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from ctprune.phantom.scanner import Protocol


def patient_key(number: int) -> str:
    """The key of a patient in the label table and the tree of folders.

    >>> patient_key(1)
    'P0001'
    """
    return f"P{number:04d}"


@dataclass(frozen=True)
class Study:
    """One visit of one patient. `number` counts from 1; `root` tells archives of other arguments apart."""

    number: int
    root: str
    protocol: Protocol
    sex: str
    age_years: int

    @property
    def key(self) -> str:
        """The patient's key in the label table and the tree of folders, `P0001`."""
        return patient_key(self.number)

    def uid(self, *parts: str | int) -> UID:
        """Derive a UID from the arguments, the patient and `parts` only (2.25, DICOM PS3.5 B.2)."""
        name = "/".join([self.root, str(self.number), *map(str, parts)])
        return UID("2.25." + str(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big")))

    def dataset(self, *, sop_class_uid: str, transfer_syntax_uid: str, series: int, instance: int) -> Dataset:
        """Start a data set with what every object of the study holds."""
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.SOPClassUID = UID(sop_class_uid)
        ds.SOPInstanceUID = self.uid("instance", series, instance)
        self._describe_visit(ds)
        ds.Manufacturer = self.protocol.manufacturer
        ds.ManufacturerModelName = self.protocol.model
        ds.InstitutionName = "Synthetic data"
        ds.PatientName = f"PHANTOM^{self.number:04d}"
        ds.PatientID = f"PHANTOM-{self.number:04d}"
        ds.PatientBirthDate = ""
        ds.PatientSex = self.sex
        ds.PatientAge = f"{self.age_years:03d}Y"
        ds.SeriesInstanceUID = self.uid("series", series)
        ds.SeriesNumber = series
        ds.InstanceNumber = instance
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
        return ds

    def _describe_visit(self, ds: Dataset) -> None:
        # Fixed dates: the same arguments must give the same bytes on any day.
        date = str(np.datetime64("2020-01-06") + np.timedelta64(self.number - 1, "D")).replace("-", "")
        ds.StudyDate = ds.SeriesDate = ds.ContentDate = date
        ds.StudyTime = ds.SeriesTime = ds.ContentTime = "080000"
        ds.AccessionNumber = f"SYN{self.number:06d}"
        ds.ReferringPhysicianName = ""
        ds.StudyDescription = "Synthetic CT"
        ds.StudyInstanceUID = self.uid("study")
        ds.StudyID = str(self.number)
