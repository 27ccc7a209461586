"""Output of the commands that train and use networks."""

from __future__ import annotations

from ctprune.cli.schemas import reductions
from ctprune.cli.schemas.parts import (
    Schema,
    anything,
    array,
    count,
    fields_of,
    flag,
    mapping,
    maybe,
    number,
    optional,
    options,
    record,
    share,
    text,
    whole,
)
from ctprune.converting.result import Converted
from ctprune.evaluation.subgroups import BySubgroup, Compared, Gap, Subgroup
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.result import FinetuneResult
from ctprune.finetuning.training_result import TrainingResult
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.settings import SETTINGS
from ctprune.pretraining.view_config import CropConfig, ViewConfig, WindowConfig
from ctprune.segmenting.config import SegmentConfig
from ctprune.segmenting.result import SegmentResult


def pretrain() -> Schema:
    """The summary of a pre-training, as in its `summary.json`."""
    texts: Schema = {"type": "string"}
    return record(
        "What was trained, on what, and how it went.",
        method=text("Name of the method.", *SETTINGS),
        backbone=text("Name of the architecture."),
        mean=number("Mean that views are normalized with, of gray values from 0 to 1."),
        std=number("Standard deviation that views are normalized with."),
        intensity=text("How Hounsfield units became gray."),
        side=count("Rows and columns of the packed slices, in pixels."),
        use=text("Which slices were used."),
        slices=count("Number of slices that were trained on."),
        epochs=count("Number of epochs."),
        steps=count("Number of optimizer steps."),
        slices_per_step=count("Slices per optimizer step, over all devices."),
        learning_rate=number("Largest learning rate, after scaling."),
        teacher_momentum=maybe(number("Momentum of the teacher at the end; null for methods without one.")),
        seconds=number("Time of the training in seconds, over all sessions."),
        manifest_digest=text("Digest of the manifest, in hexadecimal."),
        reduction=reductions.config(),
        reduced=record(
            "What the reduction kept.",
            kept=count("Number of kept slices."),
            slices=count("Number of slices, kept or dropped."),
            ctprune_version=text("Version of ctprune that reduced."),
        ),
        modalities=array("Modalities of the slices, the most frequent first.", texts),
        left_out=mapping("Slices that could not be read: number by reason.", count("Number of slices.")),
        excluded=record(
            "Slices left out because they are similar to a test set; empty without --exclude.",
            sources=optional(array("Names of the test sets.", texts)),
            threshold=optional(count("Largest Hamming distance that counts as similar, in bits.")),
            slices=optional(count("Number of slices that were left out.")),
            failed=optional(count("Number of files of the test sets that could not be read.")),
        ),
        neighbors=record(
            "Slices that share views with each other; empty without --positives neighbors:MM.",
            slices=optional(count("Number of slices with at least one neighbor.")),
            mean=optional(number("Neighbors of a slice, the mean over all slices.")),
            without_position=optional(count("Number of slices without a position: they have no neighbor.")),
        ),
        channels=text("Content of the network's three channels: `gray` or `neighbors:MM`."),
        complete_channels=maybe(
            count("Slices whose three channels are three different ones; null with gray channels.")
        ),
        settings=_settings(),
        slices_per_second=number("Slices that were trained on, per second."),
        final_loss=maybe(number("The last loss.")),
        rankme=maybe(number("RankMe of the features: how many directions they use; null if not measured.")),
        knn_accuracy=maybe(share("Accuracy of the kNN probe; null without a probe.")),
        linear_accuracy=maybe(share("Accuracy of the linear probe; null without a probe.")),
        linear_auc=maybe(share("AUC of the linear probe; null without a probe.")),
        average_knn_accuracy=maybe(share("As `knn_accuracy`, of the moving average; null without one.")),
        average_linear_accuracy=maybe(share("As `linear_accuracy`, of the moving average; null without one.")),
        average_linear_auc=maybe(share("As `linear_auc`, of the moving average; null without one.")),
        alarms=array("Sentences about a collapse that was noticed.", texts),
        seed=whole("Random seed."),
        device=text("Name of the device."),
        devices=count("Number of devices that trained together."),
        precision=text("Precision of the training."),
        notes=array("Sentences about options that work, but may not be intended.", texts),
    )


def _settings() -> Schema:
    """All options of a pre-training."""
    window = options(WindowConfig, "The random window on Hounsfield units; null without one.", deciding=False)
    views = options(
        ViewConfig,
        "What the views look like.",
        deciding=False,
        crops=array("The groups of views.", options(CropConfig, "A group of views.", deciding=False)),
        window=maybe(window),
    )
    of_methods = [options(kind, f"Settings of {name}.", deciding=False) for name, kind in SETTINGS.items()]
    return options(
        PretrainConfig,
        "All options of `ctprune pretrain`.",
        deciding=False,
        views=views,
        settings={"description": "Settings of the method.", "anyOf": of_methods},
    )


def views() -> Schema:
    """The picture of views that was written."""
    return record("The picture.", path=text("File of the picture."))


def convert() -> Schema:
    """What a conversion wrote."""
    return record("What was written.", **fields_of(Converted))


def finetune() -> Schema:
    """The result of a fine-tuning, as in `metrics.json`."""
    reasons = {"type": "string", "description": "The reason, in words."}
    return record(
        "What was trained and how well it does.",
        **_in_metrics(
            FinetuneResult,
            config=options(
                FinetuneConfig, "The options of `ctprune finetune` that decide the result.", deciding=True
            ),
            splits=mapping(
                "Number of images, or of other units, by split and class.",
                _by_name("By class.", "Number of them."),
            ),
            per_seed=array("The result of each seed.", _seed()),
            pooled=_pooled("Metrics over all seeds, by name."),
            at_threshold=maybe(
                _pooled(
                    "The same at each seed's `threshold`; null with more than two classes, or if none was found."
                )
            ),
            calibrated=maybe(
                _pooled("The same for probabilities scaled by each seed's `temperature`; null without classes.")
            ),
            by_output=mapping(
                "For several labels metrics of each, for levels those of each threshold; empty for other targets.",
                record(
                    "A label or threshold.",
                    pooled=_pooled("Metrics over all seeds, by name."),
                    no_interval=maybe(text("Why there is no interval, in words; null if there is one.")),
                ),
            ),
            label_counts=mapping(
                "For several labels the number of images with each, by split; empty for other targets.",
                _by_name("By label.", "Number of images."),
            ),
            subgroups=array("Metrics by the values of each subgroup column.", _by_subgroup()),
            patients=mapping(
                "Patients of each split.",
                record(
                    "Patients of a split.",
                    patients=count("Number of known patients."),
                    images_without=count("Number of images, or of other units, without a known patient."),
                ),
            ),
            unreadable=mapping("Files that could not be read: reason by name.", reasons),
            skipped=mapping("Files that are not images of the modality: reason by name.", reasons),
        ),
    )


def _by_name(about: str, values: str) -> Schema:
    return mapping(about, count(values))


def _in_metrics(kind: type[TrainingResult], **given: Schema) -> dict[str, Schema]:
    """What stands in `metrics.json`; `given` is what the attributes of `kind` say too little of."""
    weights = record(
        "The weights that the training started from; null for random ones.",
        path=text("Name of the file."),
        sha256=text("SHA-256 of the file, in hexadecimal."),
        metadata=anything("Metadata of the file; for ctprune's own files, the facts of their pre-training."),
    )
    shared = record(
        "Two splits.",
        splits=array("Names of the two splits.", {"type": "string"}, 2),
        patients=maybe(count("Number of patients in both; null if unknown.")),
        near_duplicates=count("Number of images of the second split with a near-duplicate in the first."),
        identical=count("How many of these are the same, pixel by pixel."),
    )
    given |= {"overlaps": array("Overlap of each two splits.", shared), "weights": maybe(weights)}
    return {
        "metrics_version": count("Version of the layout of `metrics.json`."),
        "ctprune_version": text("Version of ctprune."),
        **fields_of(kind, without=("out",), undefined=False, **given),
    }


def _seed() -> Schema:
    return record(
        "A seed.",
        seed=whole("The seed."),
        metrics=mapping(
            "Value of each metric by its name; null if it is not defined.", maybe(number("The value."))
        ),
        threshold=maybe(number("Probability from which on an image counts as positive; null if none was chosen.")),
        temperature=maybe(number("Divisor of the logits that calibrates the probabilities.")),
        images_used=count("Number of training images."),
        units_used=optional(count("For volumes and patients: number of those in training.")),
        seconds=number("Time of the training in seconds."),
        select_accuracy=optional(share("Accuracy on the split that chose the epoch or the strength.")),
        select_loss=optional(
            number("Without classes: loss on that split; for numbers, in units of their standard deviation.")
        ),
        best_epoch=optional(count("For whole networks and attention: the epoch that was chosen.")),
        strength=optional(number("For linear probes: the strength of the regularization that was chosen.")),
        converged=optional(flag("For linear probes: whether the fit converged.")),
        neighbors=optional(count("For kNN probes: number of neighbors.")),
    )


def _by_subgroup() -> Schema:
    group = record(
        "A subgroup.",
        **fields_of(
            Subgroup,
            pooled=maybe(_pooled("Metrics over all seeds, by name; null where the subgroup is too small.")),
        ),
    )
    gap = record("The largest gap of a metric.", **fields_of(Gap, undefined=True))
    groups = array("The subgroups, by value.", group)
    gaps = mapping("Largest gap by metric; empty with fewer than two subgroups that were measured.", gap)
    by_output = mapping(
        "The same for each label, or threshold between levels, by itself; empty for other targets.",
        record("A label or threshold.", **fields_of(Compared, groups=groups, gaps=gaps)),
    )
    return record(
        "The subgroups of a column.",
        **fields_of(BySubgroup, groups=groups, gaps=gaps, by_output=by_output),
    )


def _pooled(about: str) -> Schema:
    return mapping(
        about,
        record(
            "A metric.",
            mean=maybe(number("Mean over the seeds; null if it is not defined.")),
            std=maybe(number("Standard deviation over the seeds; null for one seed.")),
            low=maybe(number("Lower end of the 95 % interval; null if there is none.")),
            high=maybe(number("Upper end of the 95 % interval; null if there is none.")),
        ),
    )


def segment() -> Schema:
    """The result of a segmentation, as in `metrics.json`."""
    classes = mapping("By class.", _pooled("Measures of the class."))
    return record(
        "What was trained and how well it segments.",
        **_in_metrics(
            SegmentResult,
            config=options(
                SegmentConfig, "The options of `ctprune segment` that decide the result.", deciding=True
            ),
            splits=mapping(
                "What each split holds.",
                record(
                    "A split.",
                    patients=count("Number of patients; a volume without a known one counts as one."),
                    volumes=count("Number of volumes."),
                    slices=count("Number of slices."),
                ),
            ),
            per_seed=array(
                "The result of each seed.",
                record(
                    "A seed.",
                    seed=whole("The seed."),
                    dice=maybe(share("Mean Dice over classes; null if it is not defined.")),
                    volumetric_similarity=maybe(share("The same of the volumetric similarity.")),
                    best_epoch=count("The epoch that was chosen, from 1."),
                    select_dice=maybe(share("Dice on the split that chose the epoch; null if it is not defined.")),
                    seconds=number("Time of the training in seconds."),
                ),
            ),
            pooled=_pooled("Measures over all classes and seeds, by name."),
            by_class=classes,
            ensemble=record(
                "The same of the mean of all seeds' probabilities.",
                pooled=_pooled("Measures over all classes, by name."),
                by_class=classes,
            ),
        ),
    )


def predict() -> Schema:
    """The prediction for each image."""
    reasons = {"type": "string", "description": "The reason, in words."}
    image = record(
        "An image, or a volume or patient if the model predicts these.",
        unit=optional(text("Name of the volume or patient, by number.")),
        images=optional(count("Number of images that the volume or patient was predicted from.")),
        image=text("File of the image, or of the first one, as its source was given."),
        frame=count("Index of this image in its file, from 0."),
        label=optional(
            text("The most probable class; for several labels those above one half, for levels the median one.")
        ),
        prediction=optional(number("For regression: the predicted number, the mean over seeds.")),
    )
    probability = share("Probability of this class, the mean over seeds.")
    return record(
        "The predictions.",
        positive=maybe(text("The positive one of two classes; null with more.")),
        images=array("The images.", image | {"patternProperties": {"^probability_": probability}}),
        unreadable=mapping("Files that could not be read: reason by name.", reasons),
        skipped=mapping("Files that are not images of the modality: reason by name.", reasons),
    )
