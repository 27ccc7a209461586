"""The command line as a user meets it: results, exit codes, one clear sentence for each mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ctprune
from ctprune.manifest.refused import total
from tests.conftest import Cli
from tests.printed import result_of


def test_help_names_every_command_and_imports_nothing_heavy(cli: Cli) -> None:
    result = cli("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("reduce", "info", "phantom"))
    code = "import sys, ctprune.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert not {"numpy", "pyarrow", "pydicom", "torch", "matplotlib", "jinja2", "PIL", "rich"} & set(loaded)


def test_help_lists_options_in_sections(cli: Cli) -> None:
    shown = cli("reduce", "--help").stdout
    titles = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Arguments:",
        "Options:",
        "Selection:",
        "Reading:",
        "Gates:",
        "Many machines:",
        "Export:",
        "Output:",
    ]
    assert shown.index("Selection:") < shown.index("--threshold") < shown.index("Reading:")
    assert "Example: ctprune reduce ./dicoms" in shown


def test_wrong_usage_is_plain_text(cli: Cli) -> None:
    result = cli("reduce", "in", "--wrong")
    assert result.returncode == 2
    assert "Error: No such option: --wrong" in result.stderr
    assert "Try 'ctprune reduce --help'" in result.stderr.replace("python -m ctprune", "ctprune")


def test_reduce_writes_a_manifest_and_shows_a_table(cli: Cli, archive: Path, tmp_path: Path) -> None:
    result = cli("reduce", archive, "--out", "run")
    assert result.returncode == 0, result.stderr
    assert "kept" in result.stdout
    assert "localizer" in result.stdout
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "manifest.parquet",
        "summary.json",
    ]


def test_json_is_the_summary(cli: Cli, archive: Path, tmp_path: Path) -> None:
    result = cli("reduce", archive, "--out", "run", "--json", "--threshold", "3")
    summary = result_of("reduce", result.stdout)
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["threshold"] == 3


def test_quiet_prints_nothing(cli: Cli, archive: Path) -> None:
    result = cli("reduce", archive, "--out", "run", "--quiet")
    assert (result.stdout, result.stderr) == ("", "")


def test_dry_run_writes_nothing(cli: Cli, archive: Path, tmp_path: Path) -> None:
    result = cli("reduce", archive, "--out", "run", "--dry-run")
    assert result.returncode == 0
    assert "nothing was written" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_unreadable_files_give_exit_code_3_and_a_row(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(ct_file, source / "good.dcm")
    (source / "short.dcm").write_bytes(ct_file.read_bytes()[:-100])
    (source / "empty.dcm").write_bytes(b"")
    result = cli("reduce", source, "--out", "run")
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["kept"], total(summary["failed"])) == (1, 2)
    stopped = cli("reduce", source, "--out", "other", "--fail-first", "--quiet")
    assert stopped.returncode == 1
    assert stopped.stderr.startswith(f"Error: {source / 'empty.dcm'}: ")
    # What was read until then is kept.
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["parts"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "run"], "nowhere: no such file or folder"),
        (["in"], "--out is missing"),
        (["in", "--out", "run", "--method", "magic"], "--method magic: expected one of hash"),
        (["in", "--out", "run", "--threshold", "65"], "--threshold 65: expected a whole number of bits, 0 to 64"),
        (
            ["in", "--out", "run", "--method", "all", "--threshold", "3"],
            "--threshold belongs to --method hash",
        ),
        (["ftp://host/x", "--out", "run"], "ftp://: addresses of this kind are not read: expected s3://"),
        (["in", "--out", "run", "--keep", "0"], "expected a fraction above 0"),
        (["in", "--out", "run", "--keep", "10"], "--keep 10: expected a fraction above 0 and up to 1"),
        (["in", "--out", "run", "--keep", "ten"], "--keep ten: expected a fraction, such as 0.1 or 10%"),
        (["in", "--out", "run", "--keep", "5%%"], "--keep 5%%: expected a fraction"),
        (["in", "--out", "run", "--keep", "0.5", "--threshold", "3"], "mutually exclusive"),
        (["in", "--out", "run", "--hash-size", "1"], "--hash-size 1: expected 2 to 32"),
        (["in", "--out", "run", "--n", "3"], "--n belongs to --method every-n"),
        (["in", "--out", "run", "--method", "every-n", "--n", "0"], "--n 0: expected 1 to"),
        (["in", "--out", "run", "--scope", "patient"], "--scope patient: expected one of volume, dataset"),
        (["in", "--out", "run", "--order", "time"], "--order time: expected one of position, path"),
        (["in", "--out", "run", "--intensity", "dark"], "dark"),
        (["in", "--out", "run", "--intensity", "hu:5,1"], "5 is not below 1"),
        (["in", "--out", "run", "--volume-pattern", "("], "--volume-pattern ("),
        (["in", "--out", "run", "--volume-pattern", "abc"], "expected one group in parentheses, found 0"),
        (["in", "--out", "run", "--threads", "-1"], "--threads -1"),
        (["in", "--out", "run", "--max-slice-mb", "0"], "--max-slice-mb 0"),
        (["in", "--out", "in/run"], "lies inside the source"),
        (["in", "in", "--out", "run"], "is named twice: name it once"),
        (["in", "--out", "file"], "expected a folder, found a file"),
        (["in", "--out", "run", "--export", "png"], "--export needs --export-dir"),
        (["in", "--out", "run", "--export-dir", "e"], "need --export"),
        (["in", "--out", "run", "--export", "zip", "--export-dir", "e"], "--export zip: expected one of"),
        (["in", "--out", "run", "--export", "copy", "--export-dir", "full"], "nothing is overwritten"),
        (["in", "--out", "run", "--export", "copy", "--export-dir", "in/e"], "lies inside the source"),
        (
            ["in", "--out", "run", "--export", "png", "--export-dir", "e", "--png-depth", "12"],
            "expected 8 or 16",
        ),
    ],
)
def test_a_wrong_option_gets_one_sentence(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    result = cli("reduce", *arguments)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert not (tmp_path / "run").exists()


def test_an_unknown_manifest_version_is_refused(cli: Cli, archive: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    cli("reduce", archive, "--out", "run")
    file = tmp_path / "run" / "manifest.parquet"
    table = pq.read_table(file)
    metadata = json.loads(table.schema.metadata[b"ctprune"]) | {"manifest_version": 99}
    pq.write_table(table.replace_schema_metadata({"ctprune": json.dumps(metadata)}), file)
    result = cli("reduce", archive, "--out", "run")
    assert result.returncode == 1
    assert "manifest version 99, but ctprune" in result.stderr
    pq.write_table(table.replace_schema_metadata({}), file)
    assert "not a manifest of ctprune" in cli("reduce", archive, "--out", "run").stderr
    file.write_bytes(b"nothing")
    assert "expected a Parquet manifest" in cli("reduce", archive, "--out", "run").stderr


def test_info_shows_a_slice_and_a_refusal_and_a_run(
    cli: Cli, archive: Path, manifest: ctprune.Manifest, ct_file: Path, tmp_path: Path
) -> None:
    shown = result_of("info", cli("info", ct_file, "--json").stdout)["slices"][0]
    assert shown["status"] == "slice"
    assert len(shown["fingerprint"]) == 16
    assert "fingerprint" in cli("info", ct_file).stdout
    scout = next(row["path"] for row in manifest.rows.to_dicts() if row["reason"] == "localizer")
    refused = result_of("info", cli("info", archive / scout, "--json").stdout)["slices"][0]
    assert refused["status"] == "skipped"
    assert "localizer" in cli("info", archive / scout).stdout
    cli("reduce", archive, "--out", "run")
    assert "volumes" in cli("info", "run").stdout
    nothing = cli("info", "nowhere")
    assert nothing.returncode == 1
    assert "nowhere: no such file" in nothing.stderr
    (tmp_path / "folder").mkdir()
    assert "found no summary.json" in cli("info", "folder").stderr


#: The command line, with a Ctrl-C that comes while files are read.
CTRL_C = """
import os, signal
from ctprune import cli
from ctprune.reduction import reduction
report = reduction.Reduction._report
def interrupted(self, stage):
    if stage == "reading" and self._archive.progress()["files_read"]:
        os.kill(os.getpid(), signal.SIGINT)
    return report(self, stage)
reduction.Reduction._report = interrupted
# A shell's background jobs, and so what they start, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_stops_with_one_sentence_and_the_next_run_goes_on(archive: Path, tmp_path: Path, cli: Cli) -> None:
    command = [sys.executable, "-c", CTRL_C, "reduce", str(archive), "--out", "run", "--quiet"]
    stopped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert stopped.returncode == 130
    assert stopped.stderr.startswith("Error: interrupted after")
    assert stopped.stderr.count("\n") == 1
    assert "unchanged, not read again" in cli("reduce", archive, "--out", "run").stdout


#: The program, with a Ctrl-C that comes while its modules are loaded.
CTRL_C_EARLY = """
import sys
MODULE = sys.argv[1]
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == MODULE:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.argv[1:] = ["reduce", "in", "--out", "run"]
from ctprune.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module", ["ctprune.cli", "typer", "ctprune.cli.reduce", "ctprune.errors", "ctprune.reduction.config"]
)
def test_ctrl_c_while_modules_are_loaded_shows_no_traceback(module: str) -> None:
    stopped = subprocess.run([sys.executable, "-c", CTRL_C_EARLY, module], capture_output=True, text=True)
    assert (stopped.returncode, stopped.stderr) == (130, "Error: interrupted\n")


#: The program on a disk that takes no file larger than so many bytes.
FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
del sys.argv[1]
from ctprune.__main__ import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot limit the size of files")
@pytest.mark.parametrize(
    ("limit", "export", "named"),
    [
        (1000, [], "run/manifest.parquet"),
        (60_000, ["--export", "copy", "--export-dir", "kept"], "kept/00000/00000.dcm"),
        (60_000, ["--export", "png", "--png-depth", "16", "--export-dir", "kept"], "kept/00000/00000.png"),
    ],
)
def test_a_full_disk_names_the_file_that_was_wanted(
    tmp_path: Path, limit: int, export: list[str], named: str
) -> None:
    ctprune.phantom.write_archive(tmp_path / "dicoms", patients=1, size=256, slices=2)
    options = ["reduce", "dicoms", "--out", "run", "--quiet", *export]
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit), *options], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: {named}: cannot be written: ") or f"/{named}: " in result.stderr
    assert "File too large" in result.stderr
    assert ".part" not in result.stderr
    assert not (tmp_path / "kept").exists()


#: The command line, with a Ctrl-C that comes while kept slices are exported.
CTRL_C_LATER = """
import os, signal
from ctprune import cli
from ctprune.exporting import files
def interrupt(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
files._link_or_copy = interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_while_exporting_leaves_no_half_tree(archive: Path, tmp_path: Path) -> None:
    options = ["reduce", str(archive), "--out", "run", "--quiet", "--export", "copy", "--export-dir", "kept"]
    command = [sys.executable, "-c", CTRL_C_LATER, *options]
    stopped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    expected = "Error: the export was interrupted after 0 of 22 slices; kept was not made\n"
    assert (stopped.returncode, stopped.stderr) == (130, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
