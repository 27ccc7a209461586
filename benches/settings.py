"""What a benchmark run is asked to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of a run, handed from the command line to each benchmark's own process.

    Attributes:
        work: Folder for generated input, removed after the run.
        data: Folder with a real CT series, or empty for a phantom.
        describe: What the real series is, for the record.
        slices: Slices of the phantom series, and the most that are taken of a real one.
        rounds: How often each contender is timed.
        copies: Copies of the series that the end-to-end benchmark reads.
        large: Also the largest inputs: 10 million fingerprints or embeddings, a million files.
        repetitions: Simulated comparisons for each line of `calibration` and `pair_seeds`.
        state: Folder that keeps finished lines of the calibration, or empty; the same call continues from there.
    """

    work: str
    data: str = ""
    describe: str = "a real CT"
    slices: int = 98
    rounds: int = 5
    copies: int = 21
    large: bool = False
    repetitions: int = 4000
    state: str = ""

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, file: Path) -> Settings:
        return cls(**json.loads(file.read_text()))
