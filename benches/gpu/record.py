"""Make the record of a run: `python -m benches.gpu.record results.jsonl`, from the project's root.

A run that was cut off gives a record of what it had measured by then.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benches import record
from benches.gpu.box import read
from benches.measure import Table, number

_ABOUT = (
    "Throughput: slices per second of one training that each input feeds in turn, first steps left out; the "
    "usual way: PNG files of the slices, lightly's transform as it comes, torch's DataLoader. Goals: with "
    "ctprune's input 97 % of the model alone, and 5 × the usual way. The slices are repeated to fill the steps. "
    "The experiment is too short for a verdict."
)

_TRIAL = "A trial, which shows that everything works: its figures mean nothing. "

#: What a table says where nothing was measured.
_NOTHING = "–"

Lines = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.gpu.record", description="Make the record of a run.")
    parser.add_argument("results", type=Path, help="results.jsonl of a run")
    parser.add_argument("--record", type=Path, default=record.FOLDER, help="folder of the records")
    args = parser.parse_args()
    if not args.results.is_file():
        parser.error(f"{args.results}: no such file; python -m benches.gpu writes one")
    found = to_record(read(args.results))
    record.write(found["environment"]["date"][:10], "gpu", found, args.record)
    print(f"record: {args.record}", file=sys.stderr)


def to_record(lines: Lines) -> dict[str, Any]:
    """What `benches.record.write` takes, with all lines under `lines`.

    Ends with a sentence when the run had not come as far as saying where it ran.
    """
    asked, where = _last(lines, "run", "asked"), _last(lines, "environment", "environment")
    if asked is None or where is None:
        sys.exit("these results do not say where they were measured: the run was cut off at its very beginning")
    facts = [_last(lines, part, "facts") or {} for part in ("swav", "experiment")]
    slices, data = facts[0].get("slices", _NOTHING), facts[1].get("data", _NOTHING)
    kinds = (_throughput, _tests, _deep, _kmeans, _experiment)
    tables = [_parts(lines), *(table for kind in kinds for table in kind(lines))]
    return {
        "name": "gpu",
        "environment": where["environment"],
        "input": f"throughput: a series of {slices} slices; experiment: {data}",
        "about": (_TRIAL if asked["tiny"] or asked["device"] == "cpu" else "") + _ABOUT,
        "tables": [table.to_dict() for table in tables],
        "lines": lines,
    }


def _parts(lines: Lines) -> Table:
    table = Table("Parts of the run", ["part", "ended", "seconds"])
    for name in dict.fromkeys(line["part"] for line in lines if line["what"] == "started"):
        ends = [line for line in _of(lines, name) if line["what"] not in ("started", "not started")]
        end = next((line for line in reversed(ends) if line["what"].startswith(("done", "failed", "out of"))), {})
        table.rows.append([name, end.get("what", "cut off"), _shown(end.get("seconds"))])
        table.notes += [f"{name}: {line['error']}" for line in ends if line["what"] == "error"]
    for line in lines:
        if line["what"] == "not started":
            table.rows.append([line["part"], "not started: no time was left", _NOTHING])
    return table


def _throughput(lines: Lines) -> list[Table]:
    tables = []
    for part in ("swav", "vit"):
        facts, rates = _last(lines, part, "facts"), _of(lines, part, "rate")
        if facts is None or not rates:
            continue
        title = f"{facts['backbone']}, {facts['method']}, {facts['views']}, batch {facts['batch_size']}"
        tables.append(_rates(f"{title}, {facts['precision']}, {facts['workers']} workers", rates))
        tables[-1].notes += _notes(lines, part)
        stages = _last(lines, part, "stages")
        if stages is not None:
            tables.append(_stages(f"Stages of a step: {facts['backbone']}", stages["milliseconds"]))
    return tables


def _rates(title: str, rates: Lines) -> Table:
    table = Table(title, ["what", "slices/s", "from – to", "measurements"])
    for name in dict.fromkeys(line["name"] for line in rates):
        values = [line["slices_per_second"] for line in rates if line["name"] == name]
        span = f"{number(min(values))} – {number(max(values))}"
        table.rows.append([name, number(statistics.median(values)), span, str(len(values))])
    return table


def _notes(lines: Lines, part: str) -> list[str]:
    notes = []
    summary, load = _last(lines, part, "summary"), _last(lines, part, "load")
    if summary is not None:
        usual = f", {summary['times_usual_way']:.2f} × the usual way's" if "times_usual_way" in summary else ""
        share = 100 * summary["of_model_alone"]
        notes.append(f"With ctprune's input the model reaches {share:.1f} % of its rate alone{usual}.")
    if load is not None and load["peak_bytes"] is not None:
        busy = ", ".join(f"{name} {value:g}" for name, value in load["means"].items())
        peak = load["peak_bytes"] / 2**30
        notes.append(f"With ctprune's input: at most {peak:.2f} GiB allocated; in the mean {busy or 'not known'}.")
    for line in _of(lines, part, "not measured"):
        needed, left = line["seconds_needed"], line["seconds_left"]
        notes.append(f"{line['name']} was not measured: it takes {needed:g} s, and {left:g} s were left.")
    return notes


def _stages(title: str, milliseconds: dict[str, dict[str, float]]) -> Table:
    table = Table(title, ["stage", "device, ms", "host, ms"])
    for stage, times in milliseconds.items():
        table.rows.append([stage, _shown(times.get("device")), _shown(times["host"])])
    table.notes.append("Device: its own time, waiting included. Host: until everything was asked for.")
    return table


def _tests(lines: Lines) -> list[Table]:
    tests = _of(lines, "tests", "test")
    if not tests:
        return []
    counts = Counter(line["outcome"] for line in tests)
    table = Table("Tests that need a GPU", ["outcome", "tests"])
    table.rows += [[outcome, str(count)] for outcome, count in sorted(counts.items())]
    for line in tests:
        if line["outcome"] == "failed":
            last = line["why"].strip().splitlines()[-1]
            table.notes.append(f"{line['test']}: {last}")
    return [table]


def _deep(lines: Lines) -> list[Table]:
    rates = _of(lines, "deep", "rate")
    if not rates:
        return []
    table = _rates("Embeddings", rates)
    table.notes += [line["note"] for line in _of(lines, "deep", "checked")]
    return [table]


def _kmeans(lines: Lines) -> list[Table]:
    facts, rates = _last(lines, "kmeans", "facts"), _of(lines, "kmeans", "rate")
    if facts is None or not rates:
        return []
    table = _rates(f"balanced, by k-means of {facts['slices']} embeddings of {facts['features']} float16", rates)
    table.notes += [line["note"] for line in _of(lines, "kmeans", "checked")]
    return [table]


def _experiment(lines: Lines) -> list[Table]:
    facts, arms = _last(lines, "experiment", "facts"), _of(lines, "experiment", "arm")
    if facts is None or not arms:
        return []
    title = f"Short experiment: {facts['backbone']}, SwAV, {facts['views']}, batch {facts['batch_size']}"
    table = Table(title, ["slices of", "seed", "slices", "steps", "s", "linear probe, AUC", "95 % interval"])
    for line in arms:
        low, high = line["interval"]
        table.rows.append(
            [
                line["arm"],
                str(line["seed"]),
                _shown(line.get("slices")),
                _shown(line.get("steps")),
                _shown(line.get("pretraining_seconds")),
                _shown(line["auc"]),
                _NOTHING if low is None else f"{low:.3f} – {high:.3f}",
            ]
        )
    table.notes.append(
        f"Of {facts['slices']} slices the hash at {facts['threshold']} bits keeps {facts['kept']}; probed on "
        f"{arms[0]['images']} images of the split {arms[0]['evaluated']}."
    )
    if facts["near_task_left_out"]:
        table.notes.append("Slices within 6 bits of an image of the task were left out of every pre-training.")
    return [table]


def _of(lines: Lines, part: str, what: str | None = None) -> Lines:
    return [line for line in lines if line["part"] == part and what in (None, line["what"])]


def _last(lines: Sequence[dict[str, Any]], part: str, what: str) -> dict[str, Any] | None:
    return next((line for line in reversed(lines) if (line["part"], line["what"]) == (part, what)), None)


def _shown(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return str(value) if isinstance(value, int) else number(value)


if __name__ == "__main__":
    main()
