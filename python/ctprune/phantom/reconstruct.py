"""From the painted body to what a scanner shows: thick slices, blur and correlated noise by kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctprune.phantom.canvas import ORGANS
from ctprune.phantom.fields import Floats
from ctprune.phantom.patient import Patient
from ctprune.phantom.scanner import Kernel, Protocol, Scan, Storage

# A thick slice is the mean of planes at most this far apart.
_SUBPLANE_MM = 2.7
_AVERAGE_WIDTH_MM = 345.0


class Reconstruction:
    """The scanner's computer for one scan: the same raw data, reconstructed with several kernels."""

    def __init__(self, patient: Patient, protocol: Protocol, scan: Scan, *, with_organs: bool = False) -> None:
        self._patient, self._protocol, self._scan, self._with_organs = patient, protocol, scan, with_organs
        half = scan.size / 2
        row, column = np.ogrid[: scan.size, : scan.size]
        self._radius = np.hypot(row + 0.5 - half, column + 0.5 - half) / half
        fy = np.fft.fftfreq(scan.size, scan.pixel_spacing_mm)[:, None]
        fx = np.fft.rfftfreq(scan.size, scan.pixel_spacing_mm)[None, :]
        self._frequency = np.hypot(fy, fx)

    def acquire(self, index: int) -> tuple[Floats, float, NDArray[np.uint8] | None]:
        """Average slice `index` over its thickness: HU without blur or noise, and the mm² of lesion seen.

        The third is the label of each pixel, see `ctprune.phantom.canvas.ORGANS`, if they are asked for.
        """
        thickness = self._protocol.thickness_mm
        count = int(np.ceil(thickness / _SUBPLANE_MM))
        offsets = ((np.arange(count) + 0.5) / count - 0.5) * thickness
        planes = [
            self._patient.paint(self._scan.plane(index, offset_mm=float(offset)), with_organs=self._with_organs)
            for offset in offsets
        ]
        body = np.asarray(np.mean([plane.hu for plane in planes], axis=0), dtype=np.float32)
        organs = [plane.organs for plane in planes if plane.organs is not None]
        return body, float(np.mean([plane.lesion_mm2 for plane in planes])), _most(organs) if organs else None

    def images(self, acquired: Floats, kernels: list[Kernel], rng: np.random.Generator) -> list[Floats]:
        """Reconstruct a slice with each kernel, in HU, float32 (rows, cols).

        All kernels see the same photons, so their noise is one realisation filtered differently: pictures of
        one acquisition are near-duplicates, as real ones are.
        """
        body = np.fft.rfft2(acquired)
        photons = np.fft.rfft2(rng.standard_normal(self._radius.shape))
        return [self._image(kernel, body, photons) for kernel in kernels]

    def _image(self, kernel: Kernel, body: NDArray[np.complex128], photons: NDArray[np.complex128]) -> Floats:
        f = self._frequency / kernel.cutoff
        contrast = (1 + kernel.boost * 4 * f**2 * np.exp(-2 * f**2)) * np.exp(-(f**2))
        # Filtered back projection turns white noise into noise with a spectrum that rises with f.
        texture = np.sqrt(self._frequency) * contrast
        shape = self._radius.shape
        noise = np.fft.irfft2(photons * texture, s=shape)
        noise *= self._noise_hu(kernel) / noise.std()
        # Fewer photons cross the middle of the body.
        noise *= np.clip(1.15 - 0.75 * self._radius**2, 0.3, None)
        return np.asarray(np.fft.irfft2(body * contrast, s=shape) + noise, dtype=np.float32)

    def _noise_hu(self, kernel: Kernel) -> float:
        thin = (5.0 / self._protocol.thickness_mm) ** 0.35
        return float(kernel.noise_hu * thin * (self._patient.width_mm / _AVERAGE_WIDTH_MM) ** 1.5)

    def stored(self, hu: Floats) -> NDArray[np.int16] | NDArray[np.uint16]:
        """Convert an image in HU to stored values, cut to what the scanner's numbers hold."""
        storage = self._protocol.storage
        low = max(_stored_range(storage)[0], -1024 - storage.intercept)
        values = np.clip(np.rint(hu - storage.intercept), low, _stored_range(storage)[1])
        if storage.padding is not None:
            values[self._radius > 1] = storage.padding
        return values.astype(np.int16) if storage.signed else values.astype(np.uint16)


def _most(organs: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What most planes of a thick slice show; of equals the last one in `ORGANS`."""
    labels = range(len(ORGANS), -1, -1)
    votes = [np.sum([plane == label for plane in organs], axis=0) for label in labels]
    return np.asarray(len(ORGANS) - np.argmax(votes, axis=0), np.uint8)


def _stored_range(storage: Storage) -> tuple[int, int]:
    if storage.signed:
        return -(1 << (storage.bits - 1)), (1 << (storage.bits - 1)) - 1
    return 0, (1 << storage.bits) - 1
