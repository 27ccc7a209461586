"""Damaged DICOM files through `ctprune reduce`, with pydicom as its fallback: `python -m fuzz.mutants SEED COUNT`.

It needs what `make test` installs: pydicom's optional decoders are part of the attack. It prints and keeps each
batch that ends with another exit code than 0 or 3, has no row for some file, or takes more than two minutes.
"""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutations import mutant, seeds

import ctprune

BATCH = 100
SECONDS = 120
#: For the process that decodes; the one that runs pydicom has a limit of its own.
BYTES = 2 << 30


def main(seed: int, count: int) -> int:
    """Run so many mutants in batches; the number of batches that went wrong."""
    chance, known = random.Random(seed), seeds()
    bad, reasons, readers = 0, Counter[str](), Counter[str]()
    for first in range(0, count, BATCH):
        folder = Path(tempfile.mkdtemp(prefix="ctprune-mutants-"))
        (folder / "in").mkdir()
        expected = min(BATCH, count - first)
        for number in range(expected):
            (folder / "in" / f"{number:03d}.dcm").write_bytes(mutant(chance, known))
        fault = attack(folder, expected, reasons, readers)
        if fault:
            bad += 1
            print(f"{folder}: {fault}", flush=True)
        else:
            shutil.rmtree(folder)
    print(f"{bad} bad batches of {-(-count // BATCH)}, {count} mutants; rows by reader: {dict(readers)}")
    pydicoms = {reason: rows for reason, rows in reasons.most_common() if "pydicom" in reason}
    print(f"rows that pydicom refused: {sum(pydicoms.values())}")
    for reason, rows in list(pydicoms.items())[:10]:
        print(f"  {rows:6,} {reason}")
    return bad


def attack(folder: Path, files: int, reasons: Counter[str], readers: Counter[str]) -> str:
    """Reduce the files in `folder/in`; what went wrong, or nothing."""
    command = [sys.executable, "-m", "ctprune", "reduce", str(folder / "in"), "--modality", "any"]
    try:
        done = subprocess.run(
            [*command, "--out", str(folder / "out"), "--quiet"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES)),
        )
    except subprocess.TimeoutExpired:
        return f"more than {SECONDS} s"
    if done.returncode not in (0, 3):
        return f"exit code {done.returncode}: {done.stderr.strip()[-200:]}"
    rows = ctprune.Manifest.load(folder / "out").rows.select(["path", "reason", "reader"]).to_dicts()
    reasons.update(row["reason"] for row in rows if row["reason"])
    readers.update(row["reader"] or "none" for row in rows)
    found = len({row["path"] for row in rows})
    return "" if found == files else f"{found} of {files} files have a row"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
