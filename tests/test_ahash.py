"""`ahash` equals ImageHash's average hash bit by bit, alone and as a method of reduction."""

from __future__ import annotations

import json
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

import ctprune
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.info import describe
from tests.conftest import Cli
from tests.reference import slices as reference
from tests.test_fingerprint import PILLOW_GOES_BY_SHAPE, SIDES, pictures


def expected(picture: np.ndarray, hash_size: int = 8) -> bytes:
    found = imagehash.average_hash(Image.fromarray(picture), hash_size=hash_size).hash
    return np.packbits(found.ravel()).tobytes()


@pytest.mark.parametrize("columns", SIDES)
def test_it_equals_imagehash_at_every_size(columns: int) -> None:
    for rows in (SIDES[0], SIDES[3], columns, SIDES[14]):
        for picture in pictures(rows, columns, seed=rows * 2000 + columns):
            if PILLOW_GOES_BY_SHAPE or rows <= 2 * columns:
                assert ctprune.ahash(picture).tobytes() == expected(picture), picture.shape


@pytest.mark.parametrize("hash_size", [2, 3, 4, 5, 8, 9, 12, 16, 32])
def test_other_hash_sizes_equal_imagehash(hash_size: int) -> None:
    for picture in pictures(61, 83, seed=hash_size):
        assert ctprune.ahash(picture, hash_size=hash_size).tobytes() == expected(picture, hash_size)


def test_the_method_follows_the_greedy_rule(archive: Path) -> None:
    manifest = ctprune.reduce(archive, method="ahash", threshold=4)
    assert manifest.config["fingerprint"] == "ahash"
    rows = [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]
    for volume in {row["volume"] for row in rows}:
        own = [row for row in rows if row["volume"] == volume]
        found = reference.exemplars([row["fingerprint"] for row in own], 4)
        first = rows.index(own[0])
        assert [row["exemplar"] - first for row in own] == found
    file = Path(rows[0]["source"], rows[0]["path"])
    described = describe(file, config=ReduceConfig(method="all", fingerprint="ahash"))
    assert described[0]["fingerprint"] == rows[0]["fingerprint"].hex()


def test_a_run_with_another_kind_reads_again_and_one_with_the_same_does_not(archive: Path, tmp_path: Path) -> None:
    def read(**options: object) -> tuple[int, int]:
        ctprune.reduce(archive, out=tmp_path, **options)  # type: ignore[arg-type]
        summary = json.loads((tmp_path / "summary.json").read_text())
        return summary["files_read"], summary["files"]

    first, files = read()
    assert first == files
    assert read(method="ssim", threshold=0.8) == (0, files)
    assert read(method="ahash", keep=0.3) == (files, files)
    assert read(method="random", fingerprint="ahash", keep=0.3) == (0, files)
    assert read(method="all") == (files, files)


def test_sweep_report_and_guard_know_it(archive: Path, tmp_path: Path, cli: Cli) -> None:
    ctprune.reduce(archive, method="ahash", keep=0.3, out=tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    result = ctprune.sweep(tmp_path / "run", methods=["ahash"])
    thresholds, fractions = result.curve("ahash")
    index = list(thresholds).index(summary["threshold"])
    assert fractions[index] == pytest.approx(summary["kept"] / summary["slices"])
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert "average hashes of 64 bits" in page
    assert 'id="borderline"' in page
    with pytest.raises(
        ctprune.ConfigError, match="expected a reduction whose fingerprints are dhash, found ahash"
    ):
        ctprune.sweep(tmp_path / "run", methods=["hash"])
    shown = cli("reduce", archive, "--method", "ahash", "--threshold", "3", "--out", tmp_path / "again")
    assert "threshold (Hamming distance)" in shown.stdout


def test_fingerprints_are_compared_with_their_own_kind_only(archive: Path, tmp_path: Path) -> None:
    from ctprune.overlapping.excluded import excluded_rows

    run = ctprune.reduce(archive, method="ahash", threshold=3, out=tmp_path / "run")
    ctprune.reduce(archive, out=tmp_path / "other")
    slices = run.counts()["kept"] + run.counts()["dropped"]
    # A folder of images is fingerprinted as the run is.
    assert len(excluded_rows(run, [archive], threshold=0).rows) == slices
    assert excluded_rows(run, [tmp_path / "run"]).threshold == 3
    with pytest.raises(
        ctprune.ManifestError, match="fingerprints of kind dhash, expected ahash as in the reduction"
    ):
        excluded_rows(run, [tmp_path / "other"])


def test_mistakes_are_one_sentence(archive: Path) -> None:
    for options, sentence in (
        ({"method": "ahash"}, "method ahash needs `threshold` .* or `keep`"),
        ({"method": "ahash", "threshold": 65}, "expected a whole number of bits, 0 to 64"),
        ({"method": "hash", "fingerprint": "ahash"}, "fingerprint ahash: `method` hash compares dhash"),
        ({"fingerprint": "whash"}, "expected one of auto, dhash, ahash, phash"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.reduce(archive, **options)
