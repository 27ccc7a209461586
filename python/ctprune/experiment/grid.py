"""The steps of an experiment, in the order in which they are carried out, each with the folder of its result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.experiment.file import ExperimentFile
from ctprune.experiment.inputs import digest_of, listing_digest

#: File whose presence says that a step's result is finished, by kind; each stage writes it last.
FINISHED = {"reduce": "summary.json", "pretrain": "summary.json", "finetune": "metrics.json"}

#: Options that name inputs.
_PATHS = ("data", "split", "labels", "exclude")

#: Hexadecimal digits of the digest in a folder's name.
_SHOWN = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step of the grid.

    Attributes:
        kind: `reduce`, `pretrain` or `finetune`.
        name: Readable, such as `chest-hash6-swav`.
        digest: Of its configuration and inputs, the steps that it needs among them.
        options: As for the stage's function.
        needs: The steps whose results it reads.
        inputs: Folders or files that it reads.
        steps_of: The pre-training whose number of optimizer steps it takes.
    """

    kind: str
    name: str
    digest: str
    options: dict[str, Any]
    needs: tuple[Step, ...] = ()
    inputs: tuple[Path, ...] = ()
    steps_of: Step | None = None

    def folder(self, out: Path) -> Path:
        """Where its result is or will be."""
        return out / self.kind / f"{self.name}-{self.digest[:_SHOWN]}"

    def is_finished(self, out: Path) -> bool:
        """Whether the result for this configuration and these inputs exists."""
        return (self.folder(out) / FINISHED[self.kind]).is_file()


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a task is carried out for: a pre-training with all its seeds, or a baseline.

    Attributes:
        name: In the comparison.
        pretrainings: Its steps, one for each seed; none for a baseline.
        options: A baseline's own options of fine-tuning.
    """

    name: str
    pretrainings: tuple[Step, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All steps, and which results each task compares.

    Attributes:
        steps: In order: a step comes after those that it needs.
        tasks: For each task, by the model's name, its fine-tunings (one for each seed of the pre-training).
    """

    steps: tuple[Step, ...]
    tasks: dict[str, dict[str, tuple[Step, ...]]]


def build_grid(experiment: ExperimentFile) -> Grid:
    """Reductions of all sources, then pre-trainings, then fine-tunings; reads the names of all input files."""
    listings = {name: listing_digest(paths) for name, paths in experiment.sources.items()}
    reductions = {
        (source, reduction): Step(
            kind="reduce",
            name=f"{source}-{reduction}",
            digest=digest_of(_core.__version__, "reduce", options, listings[source]),
            options=options,
            inputs=experiment.sources[source],
        )
        for source in experiment.sources
        for reduction, options in experiment.reductions.items()
        if any(source in one.sources and reduction in one.reductions for one in experiment.pretrainings.values())
    }
    models = _models(experiment, reductions)
    tasks: dict[str, dict[str, tuple[Step, ...]]] = {}
    for task, options in experiment.tasks.items():
        data = listing_digest(_data(options))
        tasks[task] = {model.name: tuple(_finetunings(experiment, task, options, data, model)) for model in models}
    pretrainings = [step for model in models for step in model.pretrainings]
    # Those whose steps another one takes come first.
    pretrainings.sort(key=lambda step: step.steps_of is not None)
    finetunings = [step for of_task in tasks.values() for steps in of_task.values() for step in steps]
    return Grid(steps=(*reductions.values(), *pretrainings, *finetunings), tasks=tasks)


def _models(experiment: ExperimentFile, reductions: dict[tuple[str, str], Step]) -> list[Model]:
    """Baselines first, then pre-trainings; a name says only what differs."""
    by_place: dict[tuple[str, str, str], tuple[Step, ...]] = {}
    ordered = sorted(experiment.pretrainings.items(), key=lambda item: item[1].steps_of is not None)
    for name, pretraining in ordered:
        for source in pretraining.sources:
            for reduction in pretraining.reductions:
                needed = reductions[source, reduction]
                others = by_place[source, reduction, pretraining.steps_of] if pretraining.steps_of else None
                by_place[source, reduction, name] = tuple(
                    _pretraining(needed, name, pretraining.options, seed, others[index] if others else None)
                    for index, seed in enumerate(experiment.pretraining_seeds)
                )
    in_order = sorted(by_place, key=lambda place: list(experiment.pretrainings).index(place[2]))
    varying = [len({place[part] for place in by_place}) > 1 for part in range(3)]
    models = [Model(name=name, options=options) for name, options in experiment.baselines.items()]
    for place in in_order:
        parts = [part for part, varies in zip(place, varying, strict=True) if varies] or [place[2]]
        models.append(Model(name=" · ".join(parts), pretrainings=by_place[place]))
    return models


def _pretraining(needed: Step, name: str, options: dict[str, Any], seed: int, steps_of: Step | None) -> Step:
    options = options | {"seed": seed}
    inputs = tuple(Path(path) for path in _listed(options.get("exclude")))
    return Step(
        kind="pretrain",
        name=f"{needed.name}-{name}-seed{seed}",
        digest=digest_of(
            _core.__version__,
            "pretrain",
            _without_paths(options),
            needed.digest,
            listing_digest(inputs),
            None if steps_of is None else steps_of.digest,
        ),
        options=options,
        needs=(needed,) if steps_of is None else (needed, steps_of),
        inputs=inputs,
        steps_of=steps_of,
    )


def _finetunings(
    experiment: ExperimentFile, task: str, options: dict[str, Any], data: str, model: Model
) -> Iterator[Step]:
    seeds = {"seeds": list(experiment.finetuning_seeds)}
    if not model.pretrainings:
        merged = options | model.options | seeds
        weights = tuple(path for path in map(Path, _listed(merged.get("weights"))) if path.is_file())
        yield Step(
            kind="finetune",
            name=f"{task}-{model.name}",
            digest=digest_of(_core.__version__, "finetune", _without_paths(merged), data, listing_digest(weights)),
            options=merged,
            inputs=(*_data(options), *weights),
        )
    for pretraining in model.pretrainings:
        yield Step(
            kind="finetune",
            name=f"{task}-{pretraining.name}",
            digest=digest_of(
                _core.__version__, "finetune", _without_paths(options | seeds), data, pretraining.digest
            ),
            options=options | seeds,
            needs=(pretraining,),
            inputs=_data(options),
        )


def _data(options: dict[str, Any]) -> tuple[Path, ...]:
    return tuple(Path(str(options[key])) for key in ("data", "split", "labels") if options.get(key) is not None)


def _without_paths(options: dict[str, Any]) -> dict[str, Any]:
    """The options without files and folders, which the digest of what is in them stands for."""
    return {key: value for key, value in options.items() if key not in _PATHS}


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(item) for item in value]
