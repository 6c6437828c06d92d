"""Where in a pattern a network found what it says: Grad-CAM and guided Grad-CAM."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.models import Identification, SpaceGroupModel
from kikuchinet.patterns import preprocess

Heat = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Heat maps of n patterns.

    Parameters
    ----------
    prepared
        float32 (n, rows, columns), what the network saw.
    space_groups
        (n,) the space group that each map argues for.
    grad_cam
        float32 (n, rows, columns), 0 to 1 in each pattern: how much the last convolution speaks for that group.
    guided
        float32 (n, rows, columns), 0 to 1: the same times the guided gradient, sharp to a pixel; the maps of
        Kaufmann et al. (2020), Figures 8 and A9.
    identification
        What the network says of these patterns.
    """

    prepared: Heat
    space_groups: NDArray[np.int64]
    grad_cam: Heat
    guided: Heat
    identification: Identification

    def __len__(self) -> int:
        return len(self.space_groups)


def explain(
    model: SpaceGroupModel,
    images: NDArray[Any] | Sequence[NDArray[Any]],
    space_groups: ArrayLike | None = None,
    *,
    batch_size: int = 16,
) -> Explanation:
    """Show where a model sees what it answers.

    Parameters
    ----------
    model
        The model.
    images
        (n, rows, columns) or (rows, columns), or a sequence of images of unequal shapes, as for
        `SpaceGroupModel.identify`.
    space_groups
        The group, or (n,) groups, whose evidence is shown, 0 for outside the model's groups; the likeliest one of each
        pattern if not given.
    batch_size
        Patterns per pass through the network.

    Returns
    -------
    Explanation
        Maps of the prepared patterns, which are a centred crop of the images in the network's aspect.

    Raises
    ------
    kikuchinet.errors.InputError
        There are no patterns, or the model does not know a group.

    Notes
    -----
    Grad-CAM [1]_ weights the maps of the last convolution with the mean gradient of the group's logit, adds them up
    and keeps what is positive. Guided Grad-CAM multiplies that, interpolated to the pattern, with the gradient in
    the pattern that passes rectifiers only where it is positive [2]_; of the product the positive part is kept.
    Both are captum's. Each map is divided by its highest value, as in the paper.

    References
    ----------
    .. [1] R. R. Selvaraju et al., Int. J. Comput. Vis. 128 (2020) 336-359, doi 10.1007/s11263-019-01228-7.
    .. [2] J. T. Springenberg et al., arXiv:1412.6806.
    """
    if isinstance(images, np.ndarray) and images.ndim == 2:
        images = images[None]
    if len(images) == 0:
        raise InputError("images", "no patterns")
    prepared = preprocess(images, size=model.card.size)
    identification = model.answer(model.logits(prepared, batch_size=batch_size), prepared)
    targets = _targets(model, identification, space_groups)
    maps = heat_maps(model.network, prepared, targets, batch_size=batch_size)
    return Explanation(
        prepared=prepared,
        space_groups=np.asarray(model.classes, dtype=np.int64)[targets],
        grad_cam=maps[0],
        guided=maps[1],
        identification=identification,
    )


def heat_maps(
    network: nn.Module, prepared: NDArray[np.float32], targets: NDArray[np.int64], *, batch_size: int = 16
) -> tuple[Heat, Heat]:
    """Return Grad-CAM and guided Grad-CAM maps of prepared patterns, each scaled to 0..1.

    Parameters
    ----------
    network
        Takes float (n, 1, rows, columns), returns logits. It is left as it is.
    prepared
        float32 (n, rows, columns).
    targets
        (n,) indices of the outputs whose evidence is shown.
    batch_size
        Patterns per pass.

    Returns
    -------
    tuple of numpy.ndarray
        Two float32 (n, rows, columns); a map without anything positive is 0.
    """
    from captum.attr import GuidedGradCam, LayerAttribution, LayerGradCam

    # Hooks on rectifiers cannot follow one that overwrites its input.
    twin = copy.deepcopy(network).eval()
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    device = next(twin.parameters()).device
    layer = last_convolution(twin)
    cam, guided = LayerGradCam(twin, layer), GuidedGradCam(twin, layer)
    rough, sharp = [], []
    for start in range(0, len(prepared), batch_size):
        part = slice(start, start + batch_size)
        batch = torch.from_numpy(np.ascontiguousarray(prepared[part]))[:, None].to(device)
        target = torch.from_numpy(targets[part]).to(device)
        coarse = cam.attribute(batch, target=target, relu_attributions=True)
        rough.append(LayerAttribution.interpolate(coarse, batch.shape[2:], "bilinear").detach())
        with warnings.catch_warnings():
            # captum says that it sets hooks and takes them off again; so it does, on a copy.
            warnings.filterwarnings("ignore", message="Setting backward hooks", module="captum")
            sharp.append(
                guided.attribute(batch.requires_grad_(), target=target, interpolate_mode="bilinear").detach()
            )
    return _scaled(rough), _scaled(sharp)


def last_convolution(network: nn.Module) -> nn.Module:
    """Return the last convolution that a network defines.

    Raises
    ------
    kikuchinet.errors.InputError
        There is none.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise InputError(type(network).__name__, "has no convolution to explain")
    return convolutions[-1]


def _targets(
    model: SpaceGroupModel, identification: Identification, space_groups: ArrayLike | None
) -> NDArray[np.int64]:
    n = len(identification)
    if space_groups is None:
        return identification.probabilities.argmax(axis=1).astype(np.int64)
    wanted = np.asarray(space_groups)
    if wanted.shape not in ((), (n,)):
        raise InputError(
            "space groups", f"shape {wanted.shape}; one, or one for each of {n} patterns, is needed"
        )
    wanted = np.broadcast_to(wanted, (n,))
    index = {group: i for i, group in enumerate(model.classes)}
    for group in wanted.tolist():
        if group not in index:
            raise InputError(f"space group {group}", f"the model {model.name} does not know it")
    return np.array([index[group] for group in wanted.tolist()], dtype=np.int64)


def _scaled(parts: list[torch.Tensor]) -> Heat:
    heat: Heat = np.maximum(torch.cat(parts)[:, 0].float().cpu().numpy(), 0.0)
    highest = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)
