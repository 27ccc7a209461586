"""Options: described once in dataclasses, the same for Python, files and the command line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

import ctprune
from ctprune.cli import COMMANDS
from ctprune.cli.flags import translated
from ctprune.comparison.config import CompareConfig, CompareOptions
from ctprune.errors import ConfigError
from ctprune.exporting.config import ExportConfig, ExportOptions
from ctprune.finetuning.config import FinetuneConfig, FinetuneOptions
from ctprune.finetuning.predict_config import PredictConfig, PredictOptions
from ctprune.options.configure import configure
from ctprune.options.file import layered, read_options, save_options, yaml_of
from ctprune.options.option import all_options, deciding, options_of
from ctprune.pretraining.config import PretrainConfig, PretrainOptions
from ctprune.reduction.config import ReduceConfig, ReduceOptions
from ctprune.report.config import ReportConfig, ReportOptions
from ctprune.store.config import StoreConfig, StoreOptions
from ctprune.sweeping.config import SweepConfig, SweepOptions
from tests.conftest import Cli

PACKAGE = Path(ctprune.__file__).parent

#: Each configuration, the arguments that type checkers see, and what a file may hold of it.
CONFIGS: list[tuple[Any, Any, dict[str, Any]]] = [
    (ReduceConfig, ReduceOptions, {"method": "ssim", "keep": 0.25, "exclude": ["a/*"], "threads": 2}),
    (ExportConfig, ExportOptions, {"mode": "png", "folder": "kept"}),
    (SweepConfig, SweepOptions, {"methods": ["hash", "mi"], "thresholds": {"hash": [0, 3]}}),
    (ReportConfig, ReportOptions, {"intensity": "window:40,400"}),
    (StoreConfig, StoreOptions, {"use": "random", "seed": 3}),
    (PretrainConfig, PretrainOptions, {"epochs": 7, "learning_rate": 0.01}),
    (FinetuneConfig, FinetuneOptions, {"mode": "knn", "neighbors": 3, "seeds": [0, 4]}),
    (PredictConfig, PredictOptions, {"calibrated": True}),
    (CompareConfig, CompareOptions, {"contrasts": [["a", "b"]], "seed": 1}),
]

#: Folders whose sentences name options as Python does: all but the command line's and that of the pages' styles.
FOLDERS = sorted({file.parent.name for file in PACKAGE.glob("*/__init__.py")} - {"cli", "pages"})

#: Files that quote a command of ctprune word by word, and the reason that the manifest has for an excluded file.
QUOTED = {"report/citation.py", "files/globs.py"}

#: Commands that a sentence quotes, to their end: those of other programs, and ctprune's own in backquotes.
COMMANDS_QUOTED = re.compile(r"\b(srun|torchrun) --[^,;:)]*|`ctprune [^`]*`")


@pytest.mark.parametrize(("config", "arguments", "given"), CONFIGS)
def test_type_checkers_see_the_options_that_there_are(config: Any, arguments: Any, given: dict[str, Any]) -> None:
    # Rows of the manifest stand for the digest of them.
    names = [name for name in options_of(config) if (config, name) != (StoreConfig, "without")]
    assert list(arguments.__annotations__) == names
    assert [field.name for field in fields(config)] == list(options_of(config))
    assert all(f"        {name}: " in config.__doc__ for name in names)
    assert get_type_hints(arguments).keys() == set(names)


@pytest.mark.parametrize(("config", "arguments", "given"), CONFIGS)
def test_a_saved_file_gives_the_same_configuration(
    config: Any, arguments: Any, given: dict[str, Any], tmp_path: Path
) -> None:
    first = config(**given)
    file = tmp_path / "config.yaml"
    if config is ExportConfig:
        assert all_options(first)["folder"] == Path("kept")
        return
    if config is PretrainConfig:
        file.write_text(yaml.safe_dump(first.to_dict()))
        assert PretrainConfig.resolve({}, file=file) == first
        return
    save_options(first, file)
    again = config(**read_options(config, file))
    assert deciding(again) == deciding(first)
    assert "threads" not in file.read_text()


@pytest.mark.parametrize(
    "options",
    [
        deciding(ReduceConfig()),
        deciding(ReduceConfig(keep=0.25, exclude=["a/*"])),
        *({"name": value} for value in ("yes", "No", "ON", "null", "~", "", "y", "1e-3", "12", "a: b", "ä")),
        *({"name": value} for value in ("_a", "nan", "word\n", "a" * 200, [], ["a"], {}, 1, -2, 0.5, True, None)),
        {"on": 1},
        {"two words": 1, "other": None},
        {},
    ],
)
def test_options_are_written_as_yaml_writes_them(options: dict[str, Any]) -> None:
    assert yaml_of(options) == yaml.safe_dump(options, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ctprune.reduce("in", treshold=6), r"treshold: unknown option: did you mean threshold\?"),
        (lambda: ctprune.sweep("run", method=["hash"]), r"method: unknown option: did you mean methods\?"),
        (lambda: ctprune.write_report("run", intensiti="lung"), r"did you mean intensity\?"),
        (lambda: ctprune.build_store("run", with_use="all"), "with_use: unknown option"),
        (lambda: ctprune.pretrain("run", out="pre", epoch=3), r"epoch: unknown option: did you mean epochs\?"),
        (lambda: ctprune.finetune("in", out="ft", neighbor=3), r"did you mean neighbors\?"),
        (lambda: ctprune.predict("ft", "in", calibrate=True), r"did you mean calibrated\?"),
        (
            lambda: ctprune.compare(["a", "b"], color=1),
            "color: unknown option: expected one of names, reference",
        ),
        (lambda: ctprune.export_kept("run", modes="png"), r"did you mean mode\?"),
        (
            lambda: ctprune.reduce("in", ReduceConfig(), keep=0.1),
            "keep and a whole ReduceConfig cannot be combined",
        ),
        (lambda: ctprune.reduce("in", ReportConfig()), "config: expected ReduceConfig, found ReportConfig"),
        (lambda: ReduceConfig(hash_size=8.5), r"hash_size 8\.5: expected a whole number, 2 to 32"),
        (lambda: ReduceConfig(modality=3), "modality 3: expected text"),
        (lambda: ReduceConfig(fail_first="no"), "fail_first no: expected true or false"),
        (lambda: ReduceConfig(exclude="a/*"), "exclude 'a/\\*': expected a sequence of patterns, found one text"),
        (lambda: ReduceConfig(threads=900), r"threads 900: expected 0 \(one per core\) to 512"),
        (lambda: PretrainConfig(learning_rate=float("nan")), "learning_rate nan: expected 0 to 1e\\+06"),
    ],
)
def test_python_reads_names_of_options(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_errors_carry_the_name_of_the_option() -> None:
    for config, options, field in (
        (ReduceConfig, {"threads": 900}, "threads"),
        (ReduceConfig, {"volume_pattern": "("}, "volume_pattern"),
        (ReduceConfig, {"method": "all", "n": 3}, "n"),
        (FinetuneConfig, {"precision": "16"}, "precision"),
        (PretrainConfig, {"method": "dinosaur"}, "method"),
    ):
        with pytest.raises(ConfigError) as raised:
            config(**options)
        assert raised.value.field == field
        assert str(raised.value).startswith(f"{field} ")


def test_a_configuration_takes_what_does_not_decide_beside_it() -> None:
    config = ReduceConfig(method="ssim", keep=0.5)
    found = configure(ReduceConfig, config, {"threads": 3})
    assert (found.threads, deciding(found)) == (3, deciding(config))
    assert configure(ReduceConfig, config, {}) is config


def test_what_is_given_goes_above_a_file() -> None:
    file = {"method": "hash", "threshold": 6, "hash_size": 8, "scope": "dataset"}
    assert layered(ReduceConfig, file, {"hash_size": 16}) == file | {"hash_size": 16}
    # One of two that exclude each other takes the other's place.
    assert "threshold" not in layered(ReduceConfig, file, {"keep": 0.1})
    # Another method knows nothing of the thresholds of the first.
    assert layered(ReduceConfig, file, {"method": "all"}) == {"method": "all", "hash_size": 8, "scope": "dataset"}
    assert layered(ReduceConfig, file, {"method": "hash"}) == file


def test_files_of_options_work_on_the_command_line(cli: Cli, archive: Path, tmp_path: Path) -> None:
    assert (
        cli("reduce", archive, "--out", "a", "--method", "every-n", "--n", "3", "--threads", "1").returncode == 0
    )
    assert yaml.safe_load((tmp_path / "a/config.yaml").read_text())["n"] == 3
    again = cli("reduce", archive, "--out", "b", "--config", "a/config.yaml", "--quiet")
    assert (again.returncode, again.stderr) == (0, "")
    assert (tmp_path / "a/manifest.parquet").read_bytes() == (tmp_path / "b/manifest.parquet").read_bytes()
    assert cli("reduce", archive, "--out", "c", "--config", "a/config.yaml", "--n", "5").returncode == 0
    assert ctprune.Manifest.load(tmp_path / "c").config["n"] == 5
    assert cli("reduce", archive, "--out", "d", "--config", "a/config.yaml", "--method", "all").returncode == 0
    (tmp_path / "wrong.yaml").write_text("treshold: 6\n")
    for command in (
        ["reduce", archive, "--out", "e"],
        ["sweep", "a"],
        ["report", "a"],
        ["finetune", "a", "--out", "f"],
    ):
        wrong = cli(*command, "--config", "wrong.yaml")
        assert wrong.returncode == 2
        assert wrong.stderr.startswith("Error: wrong.yaml: treshold: unknown option: ")
        assert wrong.stderr.count("\n") == 1
    assert cli("sweep", "a", "--thresholds", "hash=0,6", "--out", "swept").returncode == 0
    assert cli("sweep", "a", "--config", "swept/sweep.yaml", "--out", "again").returncode == 0
    assert (tmp_path / "swept/sweep.parquet").read_bytes() == (tmp_path / "again/sweep.parquet").read_bytes()
    assert cli("report", "a", "--intensity", "lung").returncode == 0
    assert cli("report", "a", "--config", "a/report.html.yaml", "--out", "again.html").returncode == 0
    assert (tmp_path / "a/report.html").read_bytes() == (tmp_path / "again.html").read_bytes()


def test_a_file_of_options_that_is_not_of_a_reduction_stays(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("method: all\n")
    refused = r"config\.yaml does not belong to a reduction and would be replaced"
    with pytest.raises(ctprune.OutputError, match=refused):
        ctprune.reduce(archive, out=tmp_path)
    # As a pre-training leaves it.
    (tmp_path / "summary.json").write_text('{"method": "swav", "manifest_digest": ""}')
    with pytest.raises(ctprune.OutputError, match=refused):
        ctprune.reduce(archive, out=tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "method: all\n"


def test_a_reduction_is_no_source(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    for source in ("run", "run/manifest.parquet"):
        with pytest.raises(ctprune.ConfigError, match=f"{source} is a reduction: name the folder of the images"):
            ctprune.reduce(tmp_path / source)


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each string, of an f-string as a whole, with {} for its values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield node.lineno, "".join(map(str, parts))
        inner = (one for part in node.values if isinstance(part, ast.FormattedValue) for one in texts(part.value))
        yield from inner
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def test_only_the_command_line_knows_of_flags() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{line}: {text}"
        for folder in FOLDERS
        for file in sorted((PACKAGE / folder).rglob("*.py"))
        if file.relative_to(PACKAGE).as_posix() not in QUOTED
        for line, text in texts(ast.parse(file.read_text(encoding="utf-8")))
        if re.search(r"(?<![\w-])--[a-z]", COMMANDS_QUOTED.sub("", text))
    ]
    assert found == []


def test_sentences_speak_of_flags_on_the_command_line() -> None:
    flags = {"volume_pattern": "--volume-pattern", "mode": "--export"}
    sentence = "volume_pattern (: give `mode` png, not `folder`"
    assert translated(sentence, "volume_pattern", flags) == "--volume-pattern (: give --export png, not `folder`"
    assert translated("mode of transport", None, flags) == "mode of transport"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_needs_no_library(command: str) -> None:
    code = (
        "import sys; from ctprune.cli import app\n"
        f"try: app([*{command.split()!r}, '--help'])\nexcept SystemExit: print('|', *sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = shown.rpartition("|")[2].split()
    assert "Usage:" in shown
    assert not {"numpy", "pyarrow", "pydicom", "torch", "yaml", "matplotlib", "rich", "PIL"} & set(loaded)


def test_public_names_stand_in_the_stub_alone() -> None:
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    named = [
        alias.asname for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert sorted(named) == dir(ctprune) == ctprune.__all__
    assert len(named) == len(set(named)) > 50
    assert all(getattr(ctprune, name) is not None for name in named)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ctprune.nothing
