"""Backbones: networks from pictures to pooled features, created, saved, and loaded from several kinds of files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.environment.extras import extra
from ctprune.errors import ConfigError, WeightsError
from ctprune.networks.checkpoint import METADATA_KEY, SEAL_KEY, checksum_of, read_checkpoint
from ctprune.networks.weights_file import write_weights

with extra("train", "a backbone"):
    import torch
    import torchvision
    from safetensors.torch import save_file

#: Networks of torchvision whose name can be told from the shapes of their weights, the usual ones first.
RESNETS = (
    "resnet50",
    "resnet18",
    "resnet34",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
)

#: Version of the metadata in `backbone.safetensors`.
BACKBONE_VERSION = 2

Shapes = dict[str, tuple[int, ...]]

# A convolution deep enough that no head has one of this name; it tells the prefix of a ResNet's weights.
_RESNET_ANCHOR = "layer1.0.conv1.weight"

# Networks in one file of which one is meant: the trained one, not its slowly moving copy.
_PREFERRED_PREFIXES = ("", "model.", "backbone.", "encoder_q.", "encoder.", "online_network.encoder.")

# What wrappers of torch put before every name.
_WRAPPERS = ("module.", "_orig_mod.")


def create_backbone(name: str, weights: str | os.PathLike[str] | None = None) -> torch.nn.Module:
    """A network whose output are pooled features, float32 of shape (n, num_features).

    Args:
        name: A ResNet of torchvision (see `RESNETS` in this module), or any name of timm when timm is installed.
        weights: A file for `load_backbone`; None draws random weights from torch's generator.

    Returns:
        The module with the attribute `num_features`, in training mode; input of shape (n, 3, rows, cols).

    Raises:
        ConfigError: The name is not known.
        WeightsError: The file cannot be used.

    >>> create_backbone("resnet18").num_features
    512
    """
    if weights is not None:
        return load_backbone(weights, name=name)
    if name in RESNETS:
        module = torchvision.models.get_model(name, weights=None)
        features = module.fc.in_features
        module.fc = torch.nn.Identity()
        module.num_features = features
        return module  # type: ignore[no-any-return]
    return _create_timm(name)


def load_backbone(path: str | os.PathLike[str], *, name: str | None = None) -> torch.nn.Module:
    """Read a backbone from a file that ctprune, torchvision or the published code wrote.

    Known are ctprune's `backbone.safetensors`, torchvision's state dicts, and checkpoints of Lightning, with the
    network at the top or under `model.`, `encoder_q.`, `online_network.encoder.`, `backbone.` or `module.`.
    Heads are left out. Objects in a file that are not tensors are never made.

    Args:
        path: The file.
        name: The architecture, as for `create_backbone`; by default what the file says, or what the shapes of its
            weights show.

    Returns:
        As `create_backbone`, with the file's weights.

    Raises:
        WeightsError: There is no such file, it is not a checkpoint, or it does not fit the architecture.
        ConfigError: The name is not known.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "backbone.safetensors"
    >>> save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata={"method": "swav"})
    >>> load_backbone(file).num_features, backbone_metadata(file)["method"]
    (512, 'swav')
    """
    weights, metadata = read_checkpoint(Path(path))
    name = name or metadata.get("backbone")
    if name is None:
        weights = _below_prefix(weights, _RESNET_ANCHOR, path)
        name = _infer_resnet(weights, path)
        module = create_backbone(name)
    else:
        module = create_backbone(name)
        weights = _below_prefix(weights, _RESNET_ANCHOR if name in RESNETS else _anchor(module), path)
    state = _fitting(_without_classifier(weights, module), _shapes(module), name, path)
    # Old files lack the counters of batches, which nothing here uses; `_fitting` has checked all the others.
    module.load_state_dict(state, strict=False)
    return module


def check_size(module: torch.nn.Module, name: str, size: int) -> None:
    """See whether a network takes pictures of a size; changes nothing of it.

    Raises:
        ConfigError: It does not.

    >>> check_size(create_backbone("resnet18"), "resnet18", 32)
    """
    training = module.training
    try:
        with torch.no_grad():
            found = tuple(module.eval()(torch.zeros(1, 3, size, size)).shape)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--backbone {name} does not take views of {size} pixels: {reason}") from None
    finally:
        module.train(training)
    if found != (1, module.num_features):
        raise ConfigError(f"--backbone {name}: expected {module.num_features} pooled features, found {found[1:]}")


def save_backbone(
    module: torch.nn.Module,
    path: str | os.PathLike[str],
    *,
    name: str,
    metadata: Mapping[str, Any],
) -> None:
    """Write a backbone's weights as a torchvision-compatible state dict in safetensors, whole or not at all.

    Args:
        module: From `create_backbone`; may be wrapped by `torch.compile` or `DistributedDataParallel`.
        path: The file; replaced if it is there.
        name: The architecture, as for `create_backbone`.
        metadata: What should be known of it, such as method, manifest digest and settings; must go into JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    state = {
        _unwrapped(key): tensor.detach().cpu().contiguous()
        for key, tensor in module.state_dict().items()
        if not _unwrapped(key).startswith("fc.")
    }
    described = {
        "backbone_version": BACKBONE_VERSION,
        "ctprune_version": _core.__version__,
        "backbone": name,
        **metadata,
    }
    texts = {"format": "pt", METADATA_KEY: json.dumps(described, sort_keys=True)}
    sealed = texts | {SEAL_KEY: checksum_of(state, texts)}
    write_weights(Path(path), lambda beside: save_file(state, beside, metadata=sealed))


def backbone_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_backbone` wrote beside the weights; empty for files of other origin.

    Raises:
        WeightsError: There is no such file, or it is not a checkpoint.
    """
    return read_checkpoint(Path(path))[1]


def repeat_grey(images: torch.Tensor) -> torch.Tensor:
    """One-channel images, shape (n, 1, rows, cols), as three equal channels, on their device and without a copy.

    Images of three channels are returned as they are.

    >>> repeat_grey(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """
    return images.expand(-1, 3, -1, -1)


def _create_timm(name: str) -> torch.nn.Module:
    known = f"--backbone {name}: expected one of {', '.join(RESNETS)}, or a name of timm"
    try:
        import timm
    except ModuleNotFoundError:
        raise ConfigError(f"{known} (not installed: pip install 'ctprune[timm]')") from None
    plain, _, tag = name.partition(".")
    if plain not in timm.list_models() or (tag and name not in timm.list_models(pretrained=True)):
        raise ConfigError(known)
    module = _of_any_size(timm.create_model, plain)
    # Some have layers between pooling and the classifier, and tell the width before those.
    module.num_features = getattr(module, "head_hidden_size", None) or module.num_features
    return module


def _of_any_size(create_model: Callable[..., torch.nn.Module], name: str) -> torch.nn.Module:
    """Views differ in size: transformers that can shall resample their positions instead of insisting on one."""
    for option in ({"dynamic_img_size": True}, {"strict_img_size": False}):
        try:
            return create_model(name, pretrained=False, num_classes=0, **option)
        except TypeError as error:
            if next(iter(option)) not in str(error):
                raise
    return create_model(name, pretrained=False, num_classes=0)


def _infer_resnet(weights: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> str:
    """The ResNet with exactly these convolutions."""

    def kernels(shapes: Mapping[str, tuple[int, ...]]) -> set[tuple[str, tuple[int, ...]]]:
        return {(key, shape) for key, shape in shapes.items() if len(shape) == 4}

    found = kernels({key: tuple(tensor.shape) for key, tensor in weights.items()})
    for name in RESNETS:
        with torch.device("meta"):
            template = create_backbone(name)
        if kernels(_shapes(template)) == found:
            return name
    raise WeightsError(
        f"{path}: the weights fit none of {', '.join(RESNETS)}: name the architecture that they belong to"
    )


def _below_prefix(
    weights: Mapping[str, torch.Tensor], anchor: str, path: str | os.PathLike[str]
) -> dict[str, torch.Tensor]:
    """The weights of one network, by their names in it."""
    unwrapped = {_unwrapped(key): tensor for key, tensor in weights.items()}
    prefixes = [key.removesuffix(anchor) for key in unwrapped if key == anchor or key.endswith("." + anchor)]
    preferred = [prefix for prefix in _PREFERRED_PREFIXES if prefix in prefixes]
    if not prefixes:
        some = ", ".join(map(repr, list(weights)[:3])) + (", …" if len(weights) > 3 else "")
        what = "ResNet or ctprune keys" if anchor == _RESNET_ANCHOR else f"key {anchor}"
        count = f"{len(weights):,} tensor{'' if len(weights) == 1 else 's'}"
        raise WeightsError(f"no {what} in {path} ({count}: {some})")
    if len(prefixes) > 1 and not preferred:
        raise WeightsError(f"{path}: expected one backbone, found several: under {', '.join(prefixes)}")
    prefix = (preferred or prefixes)[0]
    return {key.removeprefix(prefix): t for key, t in unwrapped.items() if key.startswith(prefix)}


def _unwrapped(key: str) -> str:
    for wrapper in _WRAPPERS:
        key = key.replace(f".{wrapper}", ".").removeprefix(wrapper)
    return key


def _anchor(module: torch.nn.Module) -> str:
    """A weight of the network whose name is long enough to be found below any prefix."""
    return max((key for key, _ in module.named_parameters()), key=len)


def _shapes(module: torch.nn.Module) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def _without_classifier(
    weights: Mapping[str, torch.Tensor], module: torch.nn.Module
) -> Mapping[str, torch.Tensor]:
    """Timm says where a network's classifier is, which may be among layers that belong to its features."""
    names = getattr(module, "default_cfg", {}).get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
    return {key: tensor for key, tensor in weights.items() if not key.startswith(prefixes)}


def _fitting(
    weights: Mapping[str, torch.Tensor], expected: Shapes, name: str, path: str | os.PathLike[str]
) -> dict[str, torch.Tensor]:
    """The weights that the architecture has, each of its shape; heads are left out, anything else is refused."""
    parts = {key.split(".")[0] for key in expected}
    for key, shape in expected.items():
        if key not in weights and not key.endswith("num_batches_tracked"):
            raise WeightsError(f"{path}: expected weights of {name}, found no {key}")
        if key in weights and tuple(weights[key].shape) != shape:
            found = tuple(weights[key].shape)
            raise WeightsError(f"{path}: expected weights of {name} with {key} of shape {shape}, found {found}")
    for key in weights:
        if key not in expected and key.split(".")[0] in parts:
            raise WeightsError(f"{path}: expected weights of {name}, found also {key}: it is another architecture")
    return {key: weights[key] for key in expected if key in weights}
