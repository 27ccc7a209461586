"""Pseudonyms in place of UIDs and paths: the same in every run of a key, and all that follows finds its files."""

from __future__ import annotations

import csv
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ctprune
from ctprune import _core
from ctprune.errors import ConfigError, ManifestError, OutputError
from ctprune.files.key_file import make_key, read_key
from ctprune.manifest import pseudonyms
from tests.conftest import Cli

NAMES = (
    "source",
    "path",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "frame_of_reference_uid",
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


@pytest.fixture
def source(archive: Path, tmp_path: Path) -> Path:
    """DICOM, a picture, a text and a broken file, in folders that have names."""
    folder = tmp_path / "Mustermann^John archive"
    shutil.copytree(archive, folder / "Mustermann^John")
    Image.new("L", (32, 32), 7).save(folder / "Mustermann.png")
    (folder / "Mustermann notes.txt").write_text("nothing")
    (folder / "Mustermann broken.dcm").write_bytes(b"")
    return folder


def without_names(rows: _core.Rows) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in NAMES} for row in rows.to_dicts()]


def mentions(folder: Path, *words: str) -> list[str]:
    """Files of a folder that hold one of these words, uncompressed or as a table."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes().decode("latin-1")
            if file.name == "manifest.parquet" or file.name.startswith("part-"):
                content += str(ctprune.Manifest.load(file).rows.to_dicts())
            found += [f"{file.name}: {word}" for word in words if word in content or word in file.name]
    return found


def test_manifests_are_equal_in_all_but_names(source: Path, key: Path, tmp_path: Path) -> None:
    plain = ctprune.reduce(source, out=tmp_path / "plain")
    hidden = ctprune.reduce(source, out=tmp_path / "hidden", pseudonymize=key)
    assert without_names(hidden.rows) == without_names(plain.rows)
    assert hidden.config == plain.config
    secret = read_key(key)
    for mine, other in zip(plain.rows.to_dicts(), hidden.rows.to_dicts(), strict=True):
        for name in NAMES:
            expected = mine[name] and _core.pseudonym(secret, name, mine[name])
            assert other[name] == expected
        for name in NAMES[2:]:
            uid = str(other[name] or "2.25.0")
            assert uid.startswith("2.25.")
            assert len(uid) <= 64
            assert int(uid.removeprefix("2.25.")) < 1 << 128
    uids = {str(row[name]) for row in plain.rows.to_dicts() for name in NAMES[2:] if row[name]}
    assert mentions(tmp_path / "plain", "Mustermann")
    assert mentions(tmp_path / "hidden", "Mustermann", *sorted(uids)[::7]) == []
    digest = secret.hex()
    assert mentions(tmp_path / "hidden", digest, secret.decode("latin-1")) == []


def test_the_same_key_gives_the_same_bytes_and_another_one_others(source: Path, key: Path, tmp_path: Path) -> None:
    first = ctprune.reduce(source, out=tmp_path / "1", pseudonymize=key, threads=1)
    second = ctprune.reduce(source, out=tmp_path / "2", pseudonymize=key, threads=3)
    manifests = [(tmp_path / name / "manifest.parquet").read_bytes() for name in ("1", "2")]
    assert manifests[0] == manifests[1]
    other = ctprune.reduce(source, pseudonymize=make_key(tmp_path / "other"))
    assert not {row["path"] for row in first.rows.to_dicts()} & {row["path"] for row in other.rows.to_dicts()}
    assert without_names(other.rows) == without_names(second.rows)
    # A folder that lies elsewhere has other pseudonyms of its source, and the same ones below it.
    moved = shutil.copytree(source, tmp_path / "moved")
    there = ctprune.reduce(moved, pseudonymize=key)
    assert there.rows["path"] == first.rows["path"]
    assert set(there.rows["source"]) != set(first.rows["source"])


def test_unchanged_files_are_not_read_again(source: Path, key: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = ctprune.reduce(source, out=run, pseudonymize=key)
    new = next((source / "Mustermann^John").rglob("*.dcm"))
    shutil.copy(new, new.with_name("new.dcm"))
    (source / "Mustermann.png").unlink()
    again = ctprune.reduce(source, out=run, pseudonymize=key)
    summary = json.loads((run / "summary.json").read_text())
    # The broken file is tried again.
    assert (summary["files_read"], summary["files_vanished"]) == (2, 1)
    assert summary["files_reused"] == len({row["path"] for row in first.rows.to_dicts()}) - 2
    assert again.rows == ctprune.reduce(source, pseudonymize=key).rows
    # Other names than those of this key are of no use, and none stays.
    for options in ({"pseudonymize": make_key(tmp_path / "other")}, {}, {"pseudonymize": key}):
        found = ctprune.reduce(source, out=run, **options)  # type: ignore[arg-type]
        assert found.rows == ctprune.reduce(source, **options).rows  # type: ignore[arg-type]
        summary = json.loads((run / "summary.json").read_text())
        assert (summary["files_reused"], summary["files_vanished"]) == (0, 0)


def test_an_interrupted_run_goes_on(source: Path, key: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "selecting":
            raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.reduce(source, out=run, pseudonymize=key, progress=stop)
    assert list(run.rglob("part-*.parquet"))
    assert mentions(run, "Mustermann") == []
    found = ctprune.reduce(source, out=run, pseudonymize=key)
    assert json.loads((run / "summary.json").read_text())["files_read"] <= 1
    assert found.rows == ctprune.reduce(source, pseudonymize=key).rows


def test_the_table_is_kept_apart_and_complete(source: Path, key: Path, tmp_path: Path) -> None:
    run, table = tmp_path / "run", tmp_path / "table.csv"
    plain = ctprune.reduce(source)
    for _ in range(2):
        # The second run reads nothing, and what the table knew stays.
        hidden = ctprune.reduce(source, out=run, pseudonymize=key, pseudonyms_to=table)
        with table.open(newline="") as opened:
            lines = list(csv.DictReader(opened))
        originals = {line["pseudonym"]: line["original"] for line in lines}
        assert len(originals) == len(lines)
        back = [
            {name: originals[str(row[name])] if row[name] else row[name] for name in NAMES}
            for row in hidden.rows.to_dicts()
        ]
        assert back == [{name: row[name] for name in NAMES} for row in plain.rows.to_dicts()]
    assert {line["kind"] for line in lines} == set(NAMES)
    assert os.name == "nt" or stat.S_IMODE(table.stat().st_mode) == 0o600
    assert mentions(run, "Mustermann") == []


def test_what_cannot_be_used_as_key_or_table(source: Path, key: Path, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "text.csv").write_text("a,b\n")
    shutil.copy(key, run / "key")
    shutil.copy(key, source / "key")
    os.chmod(run / "key", 0o600)
    os.chmod(source / "key", 0o600)
    for name, content in (("short", b"x" * 31), ("zeros", bytes(64)), ("large", os.urandom(1 << 17))):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    for options, words in (
        ({"pseudonymize": "none"}, "no such file: 'ctprune key none' makes one"),
        ({"pseudonymize": tmp_path}, "pseudonymize"),
        ({"pseudonymize": tmp_path / "short"}, "expected 32 random bytes or more, found 31"),
        ({"pseudonymize": tmp_path / "zeros"}, "expected random bytes"),
        ({"pseudonymize": tmp_path / "large"}, "found a large file"),
        ({"pseudonymize": run / "key"}, "lies in the reduction's folder: keep it elsewhere"),
        ({"pseudonymize": source / "key"}, "lies in a source: keep it elsewhere"),
        (
            {"pseudonymize": key, "pseudonyms_to": run / "t.csv"},
            "lies in the reduction's folder: keep it elsewhere",
        ),
        ({"pseudonymize": key, "pseudonyms_to": source / "t.csv"}, "lies in a source: keep it elsewhere"),
        ({"pseudonymize": key, "pseudonyms_to": tmp_path / "text.csv"}, "not a table of pseudonyms"),
        ({"pseudonyms_to": tmp_path / "t.csv"}, "needs `pseudonymize`"),
    ):
        with pytest.raises(ConfigError, match=words):
            ctprune.reduce(source, out=run, **options)  # type: ignore[arg-type]
    if os.name != "nt":
        os.mkfifo(tmp_path / "fifo", 0o600)
        with pytest.raises(ConfigError, match="expected a file of random bytes, found none"):
            ctprune.reduce(source, out=run, pseudonymize=tmp_path / "fifo")
        key.chmod(0o640)
        result = cli("reduce", source, "--out", "run", "--pseudonymize", "key")
        assert (result.returncode, result.stderr) == (
            2,
            "Error: --pseudonymize key: other users can read it: run 'chmod 600 key' first\n",
        )


def test_a_key_is_made_once(cli: Cli, tmp_path: Path) -> None:
    made = cli("key", "k")
    assert made.returncode == 0
    secret = read_key(tmp_path / "k")
    assert made.stdout == f"k: a new key with the fingerprint {_core.key_fingerprint(secret)}\n"
    assert secret.hex() not in made.stdout
    assert len(secret) == 32
    again = cli("key", "k")
    assert (again.returncode, again.stderr) == (
        1,
        "Error: k: already exists, and no key is overwritten: choose another name\n",
    )
    assert read_key(tmp_path / "k") == secret
    with pytest.raises(OutputError):
        make_key(tmp_path / "none" / "k")


@pytest.fixture
def run(source: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ctprune.reduce(source, out=tmp_path / "run", pseudonymize=key)
    # As in another process.
    os.environ[pseudonyms.KEY] = os.environ[pseudonyms.SOURCES] = ""
    pseudonyms._known.clear()
    return tmp_path / "run"


def test_without_key_pixels_are_refused_in_one_sentence(run: Path, source: Path, key: Path, cli: Cli) -> None:
    assert cli("info", run).returncode == 0
    assert cli("sweep", run).returncode == 0
    for command in (["report", run], ["sweep", run, "--method", "ssim"], ["pretrain", run, "--out", "pre"]):
        refused = cli(*command, "--quiet")
        assert refused.returncode == 1, refused.stderr
        assert refused.stderr.count("\n") == 1
        assert "give its key and its source with --key and --source" in refused.stderr
    other = make_key(key.with_name("other"))
    wrong = cli("report", run, "--key", other, "--source", source)
    assert (wrong.returncode, "its fingerprint is" in wrong.stderr) == (2, True)
    elsewhere = cli("report", run, "--key", key, "--source", source.parent)
    assert (elsewhere.returncode, "not the source of the manifest's pseudonyms" in elsewhere.stderr) == (2, True)
    alone = cli("report", run, "--key", key)
    assert (alone.returncode, alone.stderr) == (2, "Error: --key and --source belong together: give both\n")
    with pytest.raises(ManifestError, match="pseudonyms in place of names"):
        ctprune.build_store(run, side=32, depth=8)


def test_all_that_follows_finds_its_files(run: Path, source: Path, key: Path, cli: Cli, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    ctprune.reduce(source, out=plain)
    names = ("--key", key, "--source", source)
    assert cli("report", run, *names).returncode == 0
    assert cli("report", plain).returncode == 0
    pages = [(folder / "report.html").read_text() for folder in (run, plain)]
    assert pages[0].count("data:image/webp") == pages[1].count("data:image/webp") > 10
    for folder, given in ((run, names), (plain, ())):
        assert cli("sweep", folder, "--method", "ssim", *given, "--out", folder.name + "-swept").returncode == 0
    ctprune.reveal(key, source)
    swept = [ctprune.Sweep.load(tmp_path / f"{name}-swept") for name in ("run", "plain")]
    told = [{name: value for name, value in one.to_dict().items() if "digest" not in name} for one in swept]
    assert told[0] == told[1]
    stores = [ctprune.build_store(folder, use="all", side=32, depth=8) for folder in (run, plain)]
    assert (stores[0].pixels == stores[1].pixels).all()
    exported = [
        ctprune.export_kept(folder, mode=mode, folder=tmp_path / f"{folder.name}-{mode}")
        for folder in (run, plain)
        for mode in ("png", "copy")
    ]
    assert exported[0].written == exported[2].written > 0
    for mode in ("png", "copy"):
        files = sorted(
            path.relative_to(tmp_path / f"run-{mode}") for path in (tmp_path / f"run-{mode}").rglob("*.*")
        )
        assert files
        for file in files:
            assert (tmp_path / f"run-{mode}" / file).read_bytes() == (
                tmp_path / f"plain-{mode}" / file
            ).read_bytes()
    assert mentions(run, "Mustermann") == []


def test_a_file_behind_a_pseudonym_that_is_gone_is_said_to_be(run: Path, source: Path, key: Path) -> None:
    ctprune.reveal(key, source)
    for file in list((source / "Mustermann^John").rglob("*.dcm"))[:5]:
        file.unlink()
    report = ctprune.write_report(run)
    assert set(report.pictures_missing) <= {"the file is gone", "left out to keep the page small"}


def test_slices_are_labeled_by_their_own_names(run: Path, source: Path, key: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    plain = ctprune.reduce(source)
    series = sorted(
        {str(row["series_instance_uid"]) for row in plain.kept().to_dicts() if row["series_instance_uid"]}
    )
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "series_instance_uid,label\n" + "".join(f"{uid},{'ab'[n % 2]}\n" for n, uid in enumerate(series))
    )
    ctprune.reveal(key, source)
    result = ctprune.finetune(
        run,
        labels=labels,
        out=tmp_path / "ft",
        seeds=1,
        side=32,
        mode="knn",
        neighbors=3,
        backbone="test_resnet",
        device="cpu",
        positive="b",
        val_fraction=0.3,
    )
    assert result.out == tmp_path / "ft"
    from tests.searching import occurrences

    assert occurrences(tmp_path / "ft", ["Mustermann", *series]) == []
