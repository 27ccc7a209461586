"""The model card of a pre-trained backbone: training data, training, and its course."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ctprune.files.atomic import replace_file
from ctprune.networks.architectures import RESNETS
from ctprune.options.neighbors import GRAY, neighbors_mm
from ctprune.pretraining.records import Line
from ctprune.pretraining.settings import TEACHER_SAVED
from ctprune.reading.modalities import slices_of

CARD_NAME, CURVES_NAME = "README.md", "curves.png"

_USE = '```python\nimport ctprune\n\nbackbone = ctprune.load_backbone("backbone.safetensors")\n```'

_REPEAT = (
    "All settings are in `config.yaml`; `ctprune pretrain REDUCTION --config config.yaml --out NEW` repeats it."
)

_TUNED = " Then fine-tuned on labeled images, which this card does not describe."

#: Values that are plotted over the steps.
_TITLES = {"loss": "loss", "rankme": "RankMe", "knn_accuracy": "kNN accuracy", "linear_auc": "linear probe, AUC"}

_METHODS = {
    "swav": "SwAV (arXiv 2006.09882)",
    "mocov2": "MoCo v2 (arXiv 2003.04297)",
    "byol": "BYOL (arXiv 2006.07733)",
    "simclr": "SimCLR (arXiv 2002.05709)",
    "dino": "DINO (arXiv 2104.14294)",
    "dinov2": "DINOv2 (arXiv 2304.07193)",
    "lejepa": "LeJEPA (arXiv 2511.08544)",
    "mae": "MAE (arXiv 2111.06377)",
}


def write_model_card(folder: Path, facts: dict[str, Any], lines: list[Line]) -> None:
    """Write `README.md` and `curves.png`.

    Args:
        folder: Folder of the pre-training.
        facts: What travels with the weights, see `ctprune.pretraining.result.portable`.
        lines: Lines of the log.
    """
    _write_curves(folder / CURVES_NAME, lines)
    with replace_file(folder / CARD_NAME) as beside:
        beside.write_text(model_card(facts, use=_USE + _origin(facts["backbone"]), repeat=_REPEAT))


def model_card(facts: dict[str, Any], *, use: str, repeat: str = "", curves: bool = True) -> str:
    """The card as Markdown.

    Args:
        facts: What travels with the weights, see `ctprune.pretraining.result.portable`.
        use: What the file is, and how the backbone is loaded, as Markdown.
        repeat: How the training can be repeated, as Markdown.
        curves: Whether the curves are beside the card.
    """
    settings = facts["settings"]
    often = ", each as often as the slices that it stands for" if settings.get("sample_weights") else ""
    parts = [
        f"# {facts['backbone']} pre-trained on {slices_of(facts['modalities'])} with {_METHODS[facts['method']]}",
        f"Pre-trained without labels by ctprune{_network(facts['method'])}; the reduction follows Wolf et al. "
        f"2024, <https://arxiv.org/abs/2410.14524>.{_TUNED if facts.get('finetuned') else ''} For research, not "
        "for diagnosis.",
        "## Use",
        use,
        f"Input: float tensors of shape (n, 3, rows, columns), {_channels(facts)}, gray from 0 to 1 "
        f"(intensity `{facts['intensity']}`), minus mean {_by_channel(facts['mean'])}, divided by "
        f"{_by_channel(facts['std'])}. "
        "Output: pooled features.",
        "## Data",
        _table(
            {
                "slices": f"{facts['slices']:,} ({facts['use']}{often})",
                **_neighbors(facts),
                "reduction": _reduction(facts["reduction"], facts["reduced"]),
                "left out, unreadable": f"{facts['unreadable']:,}",
                "left out, similar to a test set": f"{facts['excluded'].get('slices', 0):,}",
                "manifest": f"`{facts['manifest_digest'][:16]}…` (SHA-256)",
            }
        ),
        "## Training",
        _table(
            {
                "epochs, steps": f"{facts['epochs']:,}, {facts['steps']:,}",
                "batch": f"{settings['batch_size']} × {settings['accumulate']} × {facts['devices']} device(s)",
                "optimizer": _optimizer(facts),
                "views": ", ".join(
                    f"{crop['count']} × {crop['size']} px (area {crop['scale'][0]:g}–{crop['scale'][1]:g})"
                    for crop in settings["views"]["crops"]
                ),
                **_gray_windows(facts),
                "precision, device": f"{facts['precision']}, {facts['device']}",
                "seed": facts["seed"],
                "time": f"{facts['seconds']:,.0f} s, {facts['slices_per_second']:,.1f} slices/s",
            }
        ),
        *([repeat] if repeat else []),
        "## How it went",
        *([f"![Loss, rank of the features, probe over the steps]({CURVES_NAME})"] if curves else []),
        _table(
            {
                "last loss": _number(facts["final_loss"], digits=4),
                "rank of the features (RankMe)": _number(facts["rankme"]),
                "kNN probe, accuracy": _number(facts["knn_accuracy"]),
                "linear probe, accuracy": _number(facts["linear_accuracy"]),
                "linear probe, AUC": _number(facts["linear_auc"]),
            }
            | _of_average(facts)
        ),
        *(f"**Alarm:** {alarm}" for alarm in facts["alarms"]),
        *(f"**Note:** {note}" for note in facts["notes"]),
    ]
    return "\n\n".join(parts) + "\n"


def _optimizer(facts: dict[str, Any]) -> str:
    settings = facts["settings"]
    parts = [
        settings["optimizer"],
        f"learning rate {facts['learning_rate']:.6g} ({settings['learning_rate']:g} for 256 slices)",
        f"weight decay {settings['weight_decay']:g}",
    ]
    if settings["final_weight_decay"] not in (None, settings["weight_decay"]):
        parts[-1] += f" to {settings['final_weight_decay']:g}"
    if settings["clip_gradients"]:
        parts.append(f"gradients up to a norm of {settings['clip_gradients']:g}")
    return ", ".join(parts)


def _origin(backbone: str) -> str:
    program = "torchvision" if backbone in RESNETS else "timm"
    return f"\n\nThe file is a state dict as {program}'s, without the last layer."


def _network(method: str) -> str:
    return " (the weights are the teacher's)" if method in TEACHER_SAVED else ""


def _reduction(config: dict[str, Any], reduced: dict[str, Any]) -> str:
    chosen = [name for name in ("keep", "budget", "threshold", "n") if config.get(name) is not None]
    how = f", {chosen[0]} {config[chosen[0]]:.15g}" if chosen else ""
    return (
        f"{config['method']}{how}, {config['scope']} scope: {reduced['kept']:,} of {reduced['slices']:,} slices "
        f"kept, by ctprune {reduced['ctprune_version']}"
    )


def _of_average(facts: dict[str, Any]) -> dict[str, str]:
    """Measures of the moving average of the weights, if there is one."""
    momentum = facts["settings"].get("average_momentum")
    if momentum is None:
        return {}
    return {
        f"moving average of the weights ({momentum:g}), kNN probe, accuracy": _number(
            facts["average_knn_accuracy"]
        ),
        "moving average, linear probe, AUC": _number(facts["average_linear_auc"]),
    }


def _gray_windows(facts: dict[str, Any]) -> dict[str, str]:
    """Random windows inside the gray range, in HU where all slices have the same range."""
    widths = facts["settings"]["views"].get("gray_window")
    if widths is None:
        return {}
    kind, _, limits = facts["intensity"].partition(":")
    of_range = f"{widths[0]:.0%} to {widths[1]:.0%} of the gray range"
    if kind != "hu":
        return {"random windows": f"{of_range} of each slice"}
    low, high = (float(limit) for limit in limits.split(","))
    narrow, wide = (width * (high - low) for width in widths)
    return {"random windows": f"{of_range}: {narrow:g} to {wide:g} HU wide, between {low:g} and {high:g} HU"}


def _channels(facts: dict[str, Any]) -> str:
    distance = neighbors_mm(facts.get("channels", GRAY))
    if distance is None:
        return "three equal channels"
    near = f"the slice of the volume nearest to {distance:g} mm"
    return f"three channels ({near} before, the slice itself, {near} after; where there is none, the slice itself)"


def _neighbors(facts: dict[str, Any]) -> dict[str, str]:
    """The origin of every second view, if not the slice itself."""
    near = facts.get("neighbors")
    if not near:
        return {}
    within = f"{neighbors_mm(facts['settings']['positives']):g} mm"
    return {
        "every second view": f"of a slice within {within}, itself among {near['mean'] + 1:.1f} on average; "
        f"{near['slices']:,} slices have another one there"
    }


def _by_channel(values: float | list[float]) -> str:
    """One number for all channels, or one for each."""
    return ", ".join(f"{value:.4f}" for value in (values if isinstance(values, list) else [values]))


def _number(value: float | None, digits: int = 3) -> str:
    return "not measured" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _table(rows: dict[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _write_curves(file: Path, lines: list[Line]) -> None:
    from matplotlib.figure import Figure

    names = [name for name in _TITLES if any(name in line for line in lines)]
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        points = [(line["step"], line[name]) for line in lines if name in line]
        axes.plot(*zip(*points, strict=True), color="#0b6e99", marker="." if len(points) < 30 else None)
        axes.set(xlabel="step", title=_TITLES[name])
        axes.spines[["top", "right"]].set_visible(False)
    with replace_file(file) as beside:
        figure.savefig(beside, format="png", dpi=120)
