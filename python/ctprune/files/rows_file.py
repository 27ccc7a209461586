"""A `.npy` file written row after row: memory stays bounded, and a full disk is an error, not a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ctprune.files.checksums import BlockChecksums, block_checksum


class RowsFile:
    """An array of shape (n, *row_shape) that is written row by row; n is known when it is closed.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "rows.npy"
    >>> with RowsFile(file, np.dtype("<u2"), (3,)) as rows:
    ...     rows.append(np.ones((2, 3), "<u2"))
    >>> np.load(file).shape
    (2, 3)
    """

    def __init__(self, file: Path, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
        self._path = file
        self._dtype = dtype
        self._row_shape = row_shape
        self._count = 0
        self._checksums = BlockChecksums()
        self._file: BinaryIO = file.open("wb")
        self._write_header()
        self._checksums.update(bytes(self._file.tell()))

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, *_: object) -> None:
        # numpy leaves room for any number of rows, so that the header keeps its length.
        try:
            self._file.seek(0)
            self._write_header()
        finally:
            self._file.close()

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Write these rows after the others."""
        data = np.ascontiguousarray(rows, self._dtype).reshape(-1).view(np.uint8).data
        self._file.write(data)
        self._checksums.update(data)
        self._count += len(rows)

    def checksums(self) -> str:
        """Those of the whole file, once it is closed, as `ctprune.files.checksums.fits` takes them."""
        self._checksums.replace_first(block_checksum(self._path, 0))
        return self._checksums.text()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        shape = (self._count, *self._row_shape)
        np.lib.format.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": shape})
