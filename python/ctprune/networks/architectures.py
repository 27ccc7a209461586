"""Architectures: networks from images to pooled features, by their names in torchvision and timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torchvision

from ctprune.errors import ConfigError

#: Networks of torchvision that the shapes of their weights identify, the usual ones first.
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


def create_architecture(name: str) -> torch.nn.Module:
    """A network with random weights from torch's generator; its output is pooled features.

    Args:
        name: A ResNet of torchvision (see `RESNETS`), or any name of timm when timm is installed.

    Returns:
        The module in training mode, with the attributes `num_features` and `architecture` (its name). It takes
        float32 of shape (n, 3, rows, columns) and gives float32 of shape (n, num_features).

    Raises:
        ConfigError: The name is not known.

    >>> create_architecture("resnet18").num_features
    512
    """
    module = _create_resnet(name) if name in RESNETS else _create_timm(name)
    module.architecture = name  # type: ignore[assignment]
    return module


def resnet_of(weights: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the ResNet of torchvision that has exactly the convolutions of a state dict; None for no ResNet.

    >>> resnet_of(create_architecture("resnet34").state_dict())
    'resnet34'
    """

    def kernels(state: Mapping[str, torch.Tensor]) -> set[tuple[str, tuple[int, ...]]]:
        return {(key, tuple(tensor.shape)) for key, tensor in state.items() if tensor.ndim == 4}

    found = kernels(weights)
    for name in RESNETS:
        with torch.device("meta"):
            template = _create_resnet(name)
        if kernels(template.state_dict()) == found:
            return name
    return None


def check_size(module: torch.nn.Module, name: str, size: int) -> None:
    """Check that a network takes images of a size; the network stays unchanged.

    Args:
        module: A network from `create_architecture`.
        name: Name of the architecture.
        size: Rows and columns of the images.

    Raises:
        ConfigError: The network does not take them.

    >>> check_size(create_architecture("resnet18"), "resnet18", 32)
    """
    if name in RESNETS:
        # ResNets take any size.
        return
    training = module.training
    try:
        with torch.no_grad():
            found = tuple(module.eval()(torch.zeros(1, 3, size, size)).shape)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"backbone {name} does not take images of {size} × {size} pixels: {reason}", field="backbone"
        ) from None
    finally:
        module.train(training)
    if found != (1, module.num_features):
        raise ConfigError(
            f"backbone {name}: expected {module.num_features} pooled features, found {found[1:]}", field="backbone"
        )


def with_width(module: torch.nn.Module) -> torch.nn.Module:
    """A network of timm without classifier, with the number of its pooled features in `num_features`."""
    # Some networks have layers between pooling and the classifier, and report the width before these.
    module.num_features = getattr(module, "head_hidden_size", None) or module.num_features
    return module


def _create_resnet(name: str) -> torch.nn.Module:
    module: torch.nn.Module = torchvision.models.get_model(name, weights=None)
    features = module.fc.in_features  # type: ignore[union-attr]
    module.fc = torch.nn.Identity()
    module.num_features = features
    return module


def _create_timm(name: str) -> torch.nn.Module:
    known = f"backbone {name}: expected one of {', '.join(RESNETS)}, or a name of timm"
    try:
        import timm
    except ModuleNotFoundError:
        raise ConfigError(f"{known} (not installed: pip install 'ctprune[timm]')", field="backbone") from None
    plain, _, tag = name.partition(".")
    if plain not in timm.list_models() or (tag and name not in timm.list_models(pretrained=True)):
        raise ConfigError(known, field="backbone")
    return with_width(_of_any_size(timm.create_model, plain))


def _of_any_size(create_model: Callable[..., torch.nn.Module], name: str) -> torch.nn.Module:
    """A network of timm that accepts any size, if it can: transformers then resample their positions."""
    for option in ({"dynamic_img_size": True}, {"strict_img_size": False}):
        try:
            return create_model(name, pretrained=False, num_classes=0, **option)
        except TypeError as error:
            if next(iter(option)) not in str(error):
                raise
    return create_model(name, pretrained=False, num_classes=0)
