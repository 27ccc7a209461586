"""What the command line shows: results on stdout, progress and hints on stderr, exit codes in one place."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ctprune.cli.flags import in_flags
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

#: Most reasons that are shown, the most frequent first; a broken archive can have one for each file.
_REASONS_SHOWN = 10

#: Exit codes besides 0; docs/terminal.md says what each means. SIGTERM and SIGHUP give 128 and their number.
FAILED, WRONG_USAGE, DONE_WITH_FAILURES, NO_SLICES, INTERRUPTED = 1, 2, 3, 4, 130

#: Version of each object that `--json` prints. It increases when a property disappears or changes its type or
#: meaning, not when one is added.
JSON_VERSIONS = {
    "reduce": 1,
    "reduce.plan": 1,
    "reduce.shard": 1,
    "check": 1,
    "merge": 1,
    "verify": 1,
    "sweep": 1,
    "duplicates": 1,
    "overlap": 1,
    "export": 1,
    "pretrain": 1,
    "pretrain.views": 1,
    "convert": 1,
    "finetune": 1,
    "predict": 1,
    "segment": 1,
    "compare": 1,
    "experiment": 1,
    "experiment.steps": 1,
    "info.file": 1,
    "info.reduction": 1,
    "report": 1,
    "phantom": 1,
    "key": 1,
}

#: Escape codes of colors. Sentences are written without rich: loading it takes longer than finding most mistakes.
_BOLD_RED, _DIM, _END = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"

#: From this share of the time on, a stage has its own line.
_STAGE_SHOWN = 0.01


def print_error(message: object) -> None:
    """One sentence on stderr."""
    text = _broken(f"Error: {neutral(in_flags(message))}")
    _print(f"{_BOLD_RED}Error:{_END}{text.removeprefix('Error:')}" if _is_colored() else text)


def print_hint(message: object) -> None:
    """One sentence on stderr that is not an error."""
    text = _broken(neutral(in_flags(message)))
    _print(f"{_DIM}{text}{_END}" if _is_colored() else text)


def _print(text: str) -> None:
    import typer

    typer.echo(text, err=True)


def _is_colored() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _broken(sentence: str) -> str:
    """On terminals, lines break between words; elsewhere, a sentence is one line."""
    if not sys.stderr.isatty():
        return sentence
    return textwrap.fill(sentence, _columns(), break_long_words=False, break_on_hyphens=False)


def _columns() -> int:
    """Columns of the terminal on stderr."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _plain(message: object) -> str:
    from rich.markup import escape

    return escape(neutral(message))


def say(message: str) -> None:
    """A line of text on stdout."""
    import typer

    typer.echo("\n".join(map(neutral, message.split("\n"))))


def neutral(message: object) -> str:
    r"""A text with control characters made harmless: names of files may hold line breaks and escape codes.

    >>> print(neutral("two\nlines \x1b[31m"))
    two\nlines \x1b[31m
    """
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in str(message)
    )


def print_json(name: str, result: Mapping[str, Any]) -> None:
    """The one object that `--json` prints on stdout; docs/json.md and `ctprune --json-schema` describe it.

    Args:
        name: What the result is, a name of `JSON_VERSIONS`.
        result: The result; undefined numbers become null.
    """
    from ctprune.files.json_values import without_nan

    found = {"schema": f"ctprune.{name}", "version": JSON_VERSIONS[name], "result": without_nan(result)}
    say(json.dumps(found, indent=2, allow_nan=False))


def print_reduction(
    name: str, summary: dict[str, Any], out: str | Path | None, *, as_json: bool, quiet: bool
) -> None:
    """The summary of a reduction on stdout, with the path of its manifest; `name` is that of its JSON."""
    if as_json:
        print_json(name, summary)
    elif not quiet:
        if summary["files"]:
            from rich.console import Console

            Console(highlight=False).print(summary_table(summary))
        say(f"manifest: {os.path.join(out, 'manifest.parquet') if out else ''}")
        if "exported" in summary:
            exported = summary["exported"]
            say(f"exported: {counted(exported['written'], 'kept slice')} to {exported['folder']}")


def summary_table(summary: dict[str, Any]) -> Table:
    """The summary of a reduction as a table of two columns."""
    from rich.table import Table

    from ctprune.manifest.refused import lines, total
    from ctprune.selection.methods import method_of

    config = summary["config"]
    table = Table(title=f"ctprune reduce, method {config['method']}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")

    def row(name: str, value: object) -> None:
        table.add_row(_plain(name), _plain(value))

    slices = summary["slices"]
    share = f" ({summary['kept'] / slices:.1%})" if slices else ""
    row("files seen", f"{summary['files']:,}")
    if summary["files_reused"]:
        row("  unchanged, not read again", f"{summary['files_reused']:,}")
    if summary["files_vanished"]:
        row("  vanished since the last time", f"{summary['files_vanished']:,}")
    row("slices", f"{slices:,}")
    row("volumes", f"{summary['volumes']:,}")
    row("kept", f"{summary['kept']:,}{share}")
    row("dropped", f"{summary['dropped']:,}")
    for became, reasons in summary.get("changes", {}).items():
        row(f"{became} now, unlike the last time", f"{sum(reasons.values()):,}")
        for reason, count in reasons.items():
            row(f"  {reason}", f"{count:,}")
    if summary["threshold"] is not None:
        measure = method_of(config).measure
        row(f"threshold ({measure.name if measure else ''})", f"{summary['threshold']:.6g}")
    gaps = summary.get("gaps_mm")
    if gaps:
        row(
            "distance to the exemplar, median / 99 % / largest",
            f"{gaps['median']:.1f} / {gaps['p99']:.1f} / {gaps['largest']:.1f} mm",
        )
    if "embeddings" in summary:
        embeddings = summary["embeddings"]
        row(
            "embedded / reused from the last time",
            f"{embeddings['slices_embedded']:,} / {embeddings['slices_reused']:,}",
        )
    if "comparisons" in summary:
        comparisons = summary["comparisons"]
        row("pairs compared / settled by a bound", f"{comparisons['pairs']:,} / {comparisons['pairs_bounded']:,}")
    for status in ("skipped", "failed"):
        row(status, f"{total(summary[status]):,}")
        reasons = lines(summary[status])
        for code, reason, count in reasons[:_REASONS_SHOWN]:
            row(f"  {code}: {reason}", f"{count:,}")
        if len(reasons) > _REASONS_SHOWN:
            others = sum(count for *_, count in reasons[_REASONS_SHOWN:])
            row("  other reasons, see the manifest", f"{others:,}")
    for oddity, count in summary["volumes_with"].items():
        if count:
            row(f"volumes with {oddity.replace('_', ' ')}", f"{count:,}")
    masks = summary.get("label_volumes", {}).get("count")
    if masks:
        row("NIfTI volumes that look like label masks", f"{masks:,}")
    row("time", f"{summary['seconds']:.2f} s")
    for stage, seconds in summary.get("stage_seconds", {}).items():
        if seconds >= _STAGE_SHOWN * summary["seconds"]:
            row(f"  {stage}", f"{seconds:.2f} s")
    if summary["files_read"]:
        speed = f"{summary['slices_per_second']:,.0f} slices/s, {summary['megabytes_per_second']:,.0f} MB/s"
        row("read at", speed)
    return table
