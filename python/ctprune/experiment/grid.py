"""The steps of an experiment in order, each with the folder of its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.errors import CtpruneError
from ctprune.experiment.file import ExperimentFile
from ctprune.experiment.inputs import NAMED_WEIGHTS, Inputs, digest_of
from ctprune.experiment.options import deciding
from ctprune.experiment.relations import FROM_PRETRAININGS
from ctprune.tasks.columns import COLUMN_OPTIONS

#: File that marks a step's result as finished, by kind; each stage writes it last.
FINISHED = {"reduce": "summary.json", "pretrain": "summary.json", "finetune": "metrics.json"}

#: Options that name a task's data.
_DATA = ("data", "split", "labels")

#: Other options that decide what a task lists, besides the names of columns.
_LISTING = ("patient_pattern", "target", "levels", "label_columns", "subgroup_columns")

#: Hexadecimal digits of the digest in a folder's name.
_SHOWN = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step of the grid.

    Attributes:
        kind: `reduce`, `pretrain` or `finetune`.
        name: Readable, such as `chest-hash6-swav`.
        digest: Digest of its configuration and inputs, including the steps that it needs.
        learned: For a pre-training, the digest of what determines the weights; a probe does not.
        options: As for the stage's function.
        needs: The steps whose results it reads.
        sources: For a reduction, the folders or files whose slices it reduces.
        inputs: All folders and files that it reads.
        steps_of: The pre-training whose number of optimizer steps it takes.
        epochs_of: The pre-training whose number of epochs it takes.
        as_many_as: The reduction whose number of slices it keeps.
    """

    kind: str
    name: str
    digest: str
    options: dict[str, Any]
    needs: tuple[Step, ...] = ()
    sources: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    steps_of: Step | None = None
    epochs_of: Step | None = None
    as_many_as: Step | None = None
    learned: str = ""

    def folder(self, out: Path) -> Path:
        """The folder of its result, which may not exist yet."""
        return out / self.kind / f"{self.name}-{self.digest[:_SHOWN]}"

    def is_finished(self, out: Path) -> bool:
        """Whether the result for this configuration and these inputs exists."""
        return (self.folder(out) / FINISHED[self.kind]).is_file()


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model to fine-tune on tasks: a pre-training with all its seeds, or a baseline.

    Attributes:
        name: Name in the comparison.
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

    def number(self, step: Step) -> int:
        """A step's number, from 1; the file alone decides it."""
        return self.steps.index(step) + 1

    def arrays(self) -> tuple[tuple[int, int], ...]:
        """First and last numbers of groups of steps; the steps of a group need only steps of earlier groups."""
        found: list[tuple[int, int]] = []
        for number, step in enumerate(self.steps, 1):
            if (
                found
                and not any(self.number(needed) >= found[-1][0] for needed in step.needs)
                and (self.steps[number - 2].kind == step.kind)
            ):
                found[-1] = (found[-1][0], number)
            else:
                found.append((number, number))
        return tuple(found)


def build_grid(experiment: ExperimentFile, inputs: Inputs) -> Grid:
    """Reductions of all sources, then pre-trainings, then fine-tunings; reads the inputs that have changed.

    Raises:
        CtpruneError: An input cannot be read, or a task's labels and images do not fit together.
    """
    return _Builder(experiment, inputs).grid()


class _Builder:
    """A grid in progress."""

    def __init__(self, experiment: ExperimentFile, inputs: Inputs) -> None:
        self._experiment = experiment
        self._inputs = inputs
        # Models have tasks in common, and baselines may look at them in another way.
        self._tasks: dict[str, str] = {}

    def grid(self) -> Grid:
        reductions = self._reductions()
        models = self._models(reductions)
        tasks: dict[str, dict[str, tuple[Step, ...]]] = {
            task: {model.name: tuple(self._finetunings(task, options, model)) for model in models}
            for task, options in self._experiment.tasks.items()
        }
        pretrainings = [step for model in models for step in model.pretrainings]
        # Pre-trainings whose steps or epochs another one takes come first.
        pretrainings.sort(key=lambda step: (step.steps_of or step.epochs_of) is not None)
        finetunings = [step for of_task in tasks.values() for steps in of_task.values() for step in steps]
        reducing = sorted(reductions.values(), key=lambda step: step.as_many_as is not None)
        return Grid(steps=(*reducing, *pretrainings, *finetunings), tasks=tasks)

    def _reductions(self) -> dict[tuple[str, str], Step]:
        experiment, inputs = self._experiment, self._inputs
        pretrainings = experiment.pretrainings.values()
        pairs = [pair for one in pretrainings for pair in product(one.sources, one.reductions)]
        contents = {name: inputs.sources(experiment.sources[name]) for name in dict(pairs)}
        found: dict[tuple[str, str], Step] = {}
        # Reductions whose number another one takes come first, even if no pre-training uses them.
        ordered = sorted(experiment.reductions.items(), key=lambda item: item[1].as_many_as is not None)
        wanted = {(source, one) for source, one in pairs}
        wanted |= {(source, like) for source, one in pairs if (like := experiment.reductions[one].as_many_as)}
        for source in experiment.sources:
            for name, reduction in ordered:
                if (source, name) in wanted:
                    other = found[source, reduction.as_many_as] if reduction.as_many_as else None
                    found[source, name] = self._reduction(source, name, reduction.options, contents[source], other)
        return found

    def _reduction(self, source: str, name: str, options: dict[str, Any], content: str, like: Step | None) -> Step:
        of_like = () if like is None else (like.digest,)
        target = () if options.get("target") is None else (Path(str(options["target"])),)
        sources = self._experiment.sources[source]
        return Step(
            kind="reduce",
            name=f"{source}-{name}",
            digest=digest_of(
                _version(),
                "reduce",
                deciding("reductions", options),
                content,
                self._inputs.weights(options.get("weights")),
                *of_like,
                # Without a target, add nothing: results from before targets existed stay valid.
                *({"target": self._inputs.runs([path])} for path in target),
            ),
            options=options,
            needs=() if like is None else (like,),
            sources=sources,
            inputs=(*sources, *_weights(options), *target),
            as_many_as=like,
        )

    def _models(self, reductions: dict[tuple[str, str], Step]) -> list[Model]:
        """Baselines first, then pre-trainings; names hold only the parts that differ."""
        experiment = self._experiment
        by_key: dict[tuple[str, str, str], tuple[Step, ...]] = {}
        ordered = sorted(experiment.pretrainings.items(), key=lambda item: item[1].like is not None)
        for name, pretraining in ordered:
            for source, reduction in product(pretraining.sources, pretraining.reductions):
                others = by_key[source, reduction, pretraining.like] if pretraining.like else None
                by_key[source, reduction, name] = tuple(
                    self._pretraining(
                        reductions[source, reduction],
                        name,
                        pretraining.options | {"seed": seed},
                        {
                            key: others[index]
                            for key in FROM_PRETRAININGS
                            if others and getattr(pretraining, key) is not None
                        },
                    )
                    for index, seed in enumerate(experiment.pretraining_seeds)
                )
        in_order = sorted(by_key, key=lambda key: list(experiment.pretrainings).index(key[2]))
        varying = [len({key[part] for key in by_key}) > 1 for part in range(3)]
        models = [Model(name=name, options=options) for name, options in experiment.baselines.items()]
        for key in in_order:
            parts = [part for part, varies in zip(key, varying, strict=True) if varies] or [key[2]]
            models.append(Model(name=" · ".join(parts), pretrainings=by_key[key]))
        return models

    def _pretraining(self, needed: Step, name: str, options: dict[str, Any], like: dict[str, Step]) -> Step:
        excluded = tuple(Path(path) for path in _listed(options.get("exclude")))
        probe = tuple(Path(path) for path in _listed(options.get("probe")))
        of_probe = {name: value for name, value in options.items() if name.startswith("probe_")}
        learned = digest_of(
            _version(),
            "pretrain",
            deciding("pretrainings", options),
            needed.digest,
            self._inputs.runs(excluded),
            self._inputs.weights(options.get("weights")),
            like["steps_of"].learned if "steps_of" in like else None,
            *(other.learned for key, other in like.items() if key != "steps_of"),
        )
        return Step(
            kind="pretrain",
            name=f"{needed.name}-{name}-seed{options['seed']}",
            digest=digest_of(learned, self._inputs.sources(probe), of_probe) if probe else learned,
            learned=learned,
            options=options,
            needs=(needed, *like.values()),
            inputs=(*excluded, *probe, *_weights(options)),
            steps_of=like.get("steps_of"),
            epochs_of=like.get("epochs_of"),
        )

    def _finetunings(self, task: str, options: dict[str, Any], model: Model) -> Iterator[Step]:
        options = options | model.options | {"seeds": list(self._experiment.finetuning_seeds)}
        with _named(f"tasks.{task}" + (f" with baselines.{model.name}" if model.options else "")):
            decided = deciding("tasks", options)
        with _named(f"tasks.{task}"):
            data = self._task(options)
        for pretraining in model.pretrainings or (None,):
            yield Step(
                kind="finetune",
                name=f"{task}-{model.name if pretraining is None else pretraining.name}",
                digest=digest_of(
                    _version(),
                    "finetune",
                    decided,
                    data,
                    self._inputs.weights(options.get("weights")) if pretraining is None else pretraining.learned,
                ),
                options=options,
                needs=() if pretraining is None else (pretraining,),
                inputs=(*_data(options), *_weights(options)),
            )

    def _task(self, options: dict[str, Any]) -> str:
        key = digest_of(*(options.get(name) for name in (*_DATA, *_LISTING, *COLUMN_OPTIONS.values())))
        if key not in self._tasks:
            self._tasks[key] = self._inputs.task(options)
        return self._tasks[key]


@contextmanager
def _named(entry: str) -> Iterator[None]:
    """Add the place in the file to an error."""
    try:
        yield
    except CtpruneError as error:
        raise type(error)(f"{entry}: {error}") from None


def _version() -> str:
    """The version without its last number: versions that differ only in that give the same results."""
    return ".".join(_core.__version__.split(".")[:2])


def _data(options: dict[str, Any]) -> tuple[Path, ...]:
    return tuple(Path(str(options[key])) for key in _DATA if options.get(key) is not None)


def _weights(options: dict[str, Any]) -> tuple[Path, ...]:
    given = options.get("weights")
    return () if given is None or given in NAMED_WEIGHTS else (Path(str(given)),)


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(item) for item in value]
