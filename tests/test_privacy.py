"""Names of patients stay where they are: every command runs on headers full of them, every output is searched.

The rule, as docs/privacy.md has it: no text of a header ever leaves an archive. UIDs stand in the manifest and its
parts. Names of files are addresses: they stand there, in what repeats or sums up a run, and in tables of
predictions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import ctprune
from ctprune.cli import COMMANDS
from ctprune.files.key_file import make_key
from tests.commands import Commands
from tests.labeled import picture
from tests.named_archive import BIRTH, HEADER, NUMBER, PATH, write_named_archive
from tests.searching import occurrences, unpacked, words_in
from tests.segmenting.bodies import write_pair

#: Outputs that may hold names of files; and UIDs, where they are manifests, parts of one or tables of its series.
_ADDRESSES = re.compile(
    r"(.*/)?(manifest\.parquet|summary\.json|config\.yaml|predictions\.(parquet|csv)|tried\.yaml|\.cache\.json|"
    r"(units|series|overlap)\.parquet|experiment\.json|parts/part-\d+\.parquet)"
)
_MANIFESTS = re.compile(r"(.*/)?(manifest|series|parts/part-\d+)\.parquet")


@dataclass
class Folder:
    """Where commands run, and what they said."""

    folder: Path
    commands: Commands
    said: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, codes: Sequence[int] = (0, 3)) -> None:
        home, temporary = self.folder / "home", self.folder / "temporary"
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
        environment = os.environ | {
            "COLUMNS": "200",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            # Nothing of a header may be in what is logged either.
            "CTPRUNE_LOG_LEVEL": "debug",
        }
        done = self.commands.run(arguments, cwd=self.folder, env=environment, timeout=300)
        name = " ".join(map(str, arguments))
        assert done.returncode in codes, f"{name}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        assert " DEBUG ctprune.cli: " in done.stderr
        self.said[name] = done.stdout + done.stderr


def without_labels(folder: Path) -> Path:
    """Pictures of two classes, with names of patients."""
    for number in range(16):
        ill = number % 2 == 1
        file = folder / ["healthy", "ill"][ill] / f"{PATH}-{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(ill, number)).save(file)
    return folder


THRESHOLDS = {"ahash": 6, "phash": 6, "ssim": 0.8, "mi": 1.2}

WORDS = [HEADER, PATH, NUMBER, BIRTH]

SMALL = ("--side", 32, "--backbone", "test_resnet", "--device", "cpu")


def run_everything(command: Folder, source: Path, *, reduce: Sequence[object], names: Sequence[object]) -> None:
    for method in ("hash", "ahash", "phash", "ssim", "mi", "every-n", "random", "all"):
        options = {name: ("--threshold", value) for name, value in THRESHOLDS.items()}.get(method, ())
        command("reduce", source, "--method", method, *options, "--out", f"run-{method}", *reduce)
    command("reduce", source, "--out", "run", "--json", *reduce)
    command("reduce", source, "--out", "run", "--dry-run", *reduce)
    command("reduce", source, "--out", "exported", "--export", "png", "--export-dir", "png", *reduce)
    for layout, mode, out in (
        ("folders", "png", "exported-png"),
        ("webdataset", "png", "exported-tar"),
        ("imagefolder", "png", "exported-hf"),
        ("dinov2", "png", "exported-dinov2"),
        ("monai", "nifti-slices", "exported-monai"),
        ("nnssl", "nifti", "Dataset001_Export"),
    ):
        command("export", "run", "--layout", layout, "--mode", mode, "--out", out, *names)
    command("export", "run", "--like", "run-random", "--mode", "nifti", "--out", "exported-like", "--json", *names)
    command("info", "run")
    command("info", "run", "--json")
    command("check", "run", codes=(0, 1))
    command("duplicates", "run", *names)
    command("report", "run", *names)
    command("report", "run-mi", "--json", *names)
    command("sweep", "run", *names)
    command("sweep", "run", "--method", "ssim", "--out", "swept", *names)
    pretraining = ("--preset", "smoke", "--backbone", "test_resnet", "--side", 32)
    pretraining += ("--batch-size", 4, "--epochs", 1, *names)
    command("pretrain", "run", "--show-views", "views.png", *pretraining)
    command("pretrain", "run", "--out", "pre", *pretraining)
    command("convert", "pre", "--to", "timm", "--out", "converted")
    command("phantom", "phantom", "--patients", 1, "--size", 64, "--slices", 3)


def run_learning(command: Folder, data: Path) -> None:
    for out in ("ft-a", "ft-b"):
        command(
            "finetune", data, "--out", out, *SMALL, "--mode", "knn", "--neighbors", 3, "--seeds", 1,
            "--positive", "ill", "--val-fraction", 0.3,
        )  # fmt: skip
    command(
        "finetune", data, "--out", "ft-c", *SMALL, "--mode", "linear", "--seeds", 1, "--positive", "ill",
        "--val-fraction", 0.3, "--unit", "volume", "--volume-pattern", r"-(\d+)\.png", "--pool", "top-k",
        "--features", "features",
    )  # fmt: skip
    command("predict", "ft-c", data)
    command("predict", "ft-a", data, "--out", "predictions.csv")
    command("predict", "ft-a", data, "--json")
    command("compare", "ft-a", "ft-b", "--out", "comparison", "--resamples", 100)


def run_segmenting(command: Folder, volumes: Path) -> None:
    for number in range(4):
        write_pair(volumes, f"{PATH}-{number}", number)
    command(
        "segment", volumes, "--out", "segmented", *SMALL, "--mode", "frozen", "--seeds", 1, "--epochs", 1,
        "--patient-pattern", "(.+-.)", "--save-masks",
    )  # fmt: skip


def outputs(command: Folder, words: Sequence[str], sources: Sequence[Path]) -> set[tuple[str, str]]:
    """Where the words are found below the folder, the sources apart."""
    found = set()
    for path in sorted(command.folder.iterdir()):
        if path not in sources:
            found |= {
                (f"{path.name}/{file}" if path.is_dir() else file, word) for file, word in occurrences(path, words)
            }
    return found


@pytest.mark.slow
def test_no_text_of_a_header_and_no_name_goes_anywhere_else(tmp_path: Path, commands: Commands) -> None:
    pytest.importorskip("torch")
    source = write_named_archive(tmp_path)
    data = without_labels(tmp_path / "data")
    # The search finds what is there: in the sources every word is.
    assert {word for _, word in occurrences(source, WORDS)} == {
        HEADER,
        PATH,
        NUMBER,
        BIRTH,
    }
    command = Folder(tmp_path, commands)
    run_everything(command, source, reduce=(), names=())
    run_learning(command, data)
    run_segmenting(command, tmp_path / "volumes")
    command("overlap", "run", source, "--out", "overlap")
    one = next(source.rglob("*.dcm"))
    command("info", one)
    command("info", one, "--json")
    command("reduce", source, "--out", "other", "--fail-first", codes=(1,))
    command("reduce", source, "--out", "other", "--max-failed", 0, codes=(1,))
    (tmp_path / "tried.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "Tried",
                "sources": {"named": str(source)},
                "reductions": {"hash6": {"method": "hash", "threshold": 6}},
                "pretrainings": {
                    "hash": {
                        "preset": "smoke",
                        "backbone": "test_resnet",
                        "epochs": 1,
                        "side": 32,
                        "batch_size": 4,
                    }
                },
                "baselines": {"none": {"weights": "none", "backbone": "test_resnet"}},
                "tasks": {
                    "ill": {"data": str(data), "mode": "knn", "side": 32, "neighbors": 3, "positive": "ill"}
                },
                "seeds": {"finetuning": 1},
                "comparison": {"resamples": 100},
            }
        )
    )
    command("experiment", "tried.yaml", "--out", "experiment")
    sources = (source, data, tmp_path / "volumes", tmp_path / "plain")
    found = outputs(command, WORDS, sources)
    assert {file for file, word in found if word in (HEADER, BIRTH)} == set()
    assert {file for file, word in found if word == PATH and not _ADDRESSES.fullmatch(file)} == set()
    assert {file for file, word in found if word == NUMBER and not _MANIFESTS.fullmatch(file)} == set()
    assert {file for file, word in found if word == PATH}
    for name, said in command.said.items():
        words = words_in(said.encode(), [HEADER, BIRTH, NUMBER])
        # Of one file that a user names, UIDs are shown.
        assert words <= ({NUMBER} if name.startswith("info ") and ".dcm" in name else set()), name
    # Pages, pictures and models name no file, and neither does a run that went well.
    quiet = ("report", "sweep", "pretrain", "compare", "segment", "phantom", "info run", "export")
    for name, said in command.said.items():
        if name.startswith(quiet):
            # The summary in JSON names the sources.
            assert words_in(said.encode(), [PATH]) <= ({PATH} if name == "info run --json" else set()), name
    assert outputs(Folder(tmp_path / "temporary", commands), WORDS, ()) == set()


@pytest.mark.slow
def test_with_pseudonyms_no_name_goes_anywhere(tmp_path: Path, commands: Commands) -> None:
    pytest.importorskip("torch")
    source = write_named_archive(tmp_path)
    key = make_key(tmp_path / "key")
    command = Folder(tmp_path, commands)
    run_everything(command, source, reduce=("--pseudonymize", "key"), names=("--key", "key", "--source", source))
    found = outputs(command, WORDS, (source, tmp_path / "plain"))
    assert found == set()
    secret = key.read_bytes()
    for path in tmp_path.iterdir():
        if path not in (source, key, tmp_path / "plain"):
            for file in [path] if path.is_file() else path.rglob("*"):
                if file.is_file():
                    assert not any(secret in content for content in unpacked(file.read_bytes())), file
    for name, said in command.said.items():
        said = said.replace(str(source), "")
        assert words_in(said.encode(), WORDS) == set(), f"{name}\n{said}"


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_joined_and_verified_runs_name_no_more(tmp_path: Path, commands: Commands, pseudonyms: bool) -> None:
    source = write_named_archive(tmp_path)
    command = Folder(tmp_path, commands)
    command("key", "key")
    folders = sorted(folder for folder in (source / f"{PATH}^Erika").iterdir() if folder.is_dir())[:2]
    for name, folder in zip("ab", folders, strict=True):
        command("reduce", folder, "--out", name, *(("--pseudonymize", "key") if pseudonyms else ()))
    names = ("--key", "key", "--source", folders[0], "--source", folders[1]) if pseudonyms else ()
    command("merge", "a", "b", "--out", "both", *names)
    command("verify", "a", "--pixels", 1, *names[:4])
    changed, gone, *_ = sorted(folders[0].glob("*.dcm"))
    changed.write_bytes(changed.read_bytes() + HEADER.encode())
    gone.unlink()
    command("verify", "a", "--json", *names[:4], codes=(1,))
    found = outputs(command, WORDS, (source, tmp_path / "plain"))
    assert {file for file, word in found if word in (HEADER, BIRTH)} == set()
    if pseudonyms:
        assert found == set()
    else:
        assert {file for file, word in found if word == PATH and not _ADDRESSES.fullmatch(file)} == set()
        assert {file for file, word in found if word == NUMBER and not _MANIFESTS.fullmatch(file)} == set()
    for name, said in command.said.items():
        for folder in folders:
            said = said.replace(str(folder), "")
        assert words_in(said.encode(), WORDS) <= (set() if pseudonyms else {PATH}), f"{name}\n{said}"


def test_no_command_is_left_out() -> None:
    run = set(re.findall(r'command\(\s*"([a-z]+)"', Path(__file__).read_text()))
    assert run == set(COMMANDS)


def test_manufacturer_model_and_kernel_are_the_texts_that_a_manifest_has(tmp_path: Path) -> None:
    source = write_named_archive(tmp_path)
    manifest = ctprune.reduce(source)
    texts = {
        name: {str(value) for value in manifest.rows[name]}
        for name in manifest.rows.columns
        if isinstance(manifest.rows[name], list)
    }
    assert not [name for name, values in texts.items() if any(HEADER.lower() in value.lower() for value in values)]
    assert {name for name, values in texts.items() if any(NUMBER in value for value in values)} == {
        "study_instance_uid",
        "series_instance_uid",
        "sop_instance_uid",
    }
    assert {name for name, values in texts.items() if any(PATH in value for value in values)} == {"source", "path"}


def test_the_search_sees_through_what_hides_words(tmp_path: Path) -> None:
    import base64
    import zipfile

    (tmp_path / "utf16").write_bytes(f"x{HEADER}".encode("utf-16-le"))
    for shift in range(3):
        (tmp_path / f"base64-{shift}").write_bytes(base64.b64encode(b"x" * shift + HEADER.encode() + b"tail"))
    Image.fromarray(np.frombuffer((HEADER * 8).encode(), np.uint8).reshape(1, -1)).save(tmp_path / "pixels.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("inner.txt", HEADER * 3)
        opened.write(tmp_path / "pixels.png", "pixels.png")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [HEADER, None]}), tmp_path / "a.parquet", compression="zstd")
    expected = {"utf16", "base64-0", "base64-1", "base64-2", "pixels.png", "a.zip", "a.parquet"}
    assert {file for file, _ in occurrences(tmp_path, [HEADER])} == expected
