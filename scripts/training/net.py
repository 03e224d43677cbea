"""The layers that our networks are made of, chosen for 8-bit inference on CPUs: dense convolutions, ReLU, few tensors.

Every convolution is followed by batch normalisation, which `fold` puts into its weights when training is over. After
that, weights and activations can be rounded in training as the 8-bit network will round them (`quantise`).
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MOMENTUM = 0.02


class Round(nn.Module):
    """Rounds an activation to 8 bits; gradients pass straight through. In the mode `watch` it learns its range."""

    def __init__(self, positive):
        super().__init__()
        self.positive = positive
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.mode = "off"
        self.known = None

    def watch(self, x):
        self.known = None
        x = x.detach().float()
        # The outermost 1 in 10,000 values may saturate, because one extreme value would reduce the resolution of all others.
        flat = x.flatten()
        if flat.numel() > 200_000:
            flat = flat[torch.randint(flat.numel(), (200_000,), device=x.device)]
        high = torch.quantile(flat, 0.9999)
        low = torch.zeros_like(high) if self.positive else torch.quantile(flat, 0.0001)
        if self.high == 0:
            self.high.copy_(high)
            self.low.copy_(low)
        else:
            self.high.lerp_(high, MOMENTUM)
            self.low.lerp_(low, MOMENTUM)

    def scale(self):
        """The real value of one step, and the stored value of zero; stored values are -128 to 127."""
        if self.known is None:
            low = min(float(self.low), 0.0)
            step = max((max(float(self.high), 0.0) - low) / 255, 1e-8)
            self.known = step, int(round(-128 - low / step))
        return self.known

    def forward(self, x):
        if self.mode in ("watch", "both"):
            self.watch(x)
        if self.mode in ("round", "both"):
            step, zero = self.scale()
            stored = (x / step).round().clamp(-128 - zero, 127 - zero)
            inside = (x >= (-128 - zero) * step) & (x <= (127 - zero) * step)
            return torch.where(inside, x + (stored * step - x).detach(), (stored * step).detach())
        return x


class Conv(nn.Module):
    """Convolution, batch normalisation and, if `relu`, ReLU. Padding is TensorFlow's SAME unless `padding` is 'valid'."""

    def __init__(self, i, o, kernel, stride=1, relu=True, groups=1, padding="same", norm=True, weights="channel"):
        super().__init__()
        pair = lambda v: v if isinstance(v, tuple) else (v, v)
        self.kernel, self.stride, self.groups, self.relu, self.padding = pair(kernel), pair(stride), groups, relu, padding
        self.weights = weights
        self.weight = nn.Parameter(torch.empty(o, i // groups, *self.kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu" if relu else "linear")
        self.bias = nn.Parameter(torch.zeros(o)) if not norm else None
        self.norm = nn.BatchNorm2d(o, momentum=0.05) if norm else None
        self.out = Round(relu)
        self.rounded = False

    def pad(self, x):
        """Pads as TensorFlow does: an odd row or column goes below or to the right."""
        if self.padding == "valid":
            return x
        pads = []
        for size, k, s in zip(x.shape[-2:], self.kernel, self.stride):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            pads.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = pads
        return F.pad(x, (left, right, top, bottom)) if any((top, bottom, left, right)) else x

    def fold(self):
        if self.norm is None:
            return
        n = self.norm
        gain = n.weight.data / torch.sqrt(n.running_var + n.eps)
        self.bias = nn.Parameter(n.bias.data - n.running_mean * gain)
        self.weight.data *= gain[:, None, None, None]
        self.norm = None

    def steps(self):
        """The real value of one step of the weights, for each channel. It is the same for all channels if `weights` is
        'tensor'."""
        most = self.weight.detach().abs().amax((1, 2, 3))
        if self.weights == "tensor":
            most = most.max().expand_as(most)
        return (most / 127).clamp_min(1e-8)

    def forward(self, x):
        w = self.weight
        if self.rounded:
            step = self.steps()[:, None, None, None]
            w = w + ((w / step).round().clamp(-127, 127) * step - w).detach()
        y = F.conv2d(self.pad(x), w, self.bias, self.stride, groups=self.groups)
        if self.norm is not None:
            y = self.norm(y)
        return self.out(F.relu(y) if self.relu else y)


class Block(nn.Module):
    """x + two 3x3 convolutions of x, with ReLU after the sum."""

    def __init__(self, c):
        super().__init__()
        self.a = Conv(c, c, 3)
        self.b = Conv(c, c, 3, relu=False)
        self.out = Round(True)

    def forward(self, x):
        return self.out(F.relu(x + self.b(self.a(x))))


class Squeeze(nn.Module):
    """x + a 3x3 convolution with half of the channels, with ReLU after the sum."""

    def __init__(self, c):
        super().__init__()
        self.a = Conv(c, c // 2, 1)
        self.b = Conv(c // 2, c, 3, relu=False)
        self.out = Round(True)

    def forward(self, x):
        return self.out(F.relu(x + self.b(self.a(x))))


class Lift(nn.Module):
    """fine + a 1x1 convolution of features of half its resolution, with ReLU after the sum. The surroundings help to interpret
    small details."""

    def __init__(self, coarse, fine):
        super().__init__()
        self.a = Conv(coarse, 4 * fine, 1, relu=False)
        self.out = Round(True)

    def forward(self, fine, coarse):
        h, w = fine.shape[-2:]
        return self.out(F.relu(fine + spread(self.a(coarse))[..., :h, :w]))


def spread(x):
    """[n, 4c, h, w] to [n, c, 2h, 2w] as TFLite's DEPTH_TO_SPACE does."""
    n, c, h, w = x.shape
    return x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


def fold(net):
    for m in net.modules():
        if isinstance(m, Conv):
            m.fold()


def rounding(net, mode):
    """Sets the mode: `off`; `watch`, to learn the ranges; `round`, to round weights and activations; `both`."""
    for m in net.modules():
        if isinstance(m, Round):
            m.mode = mode
        if isinstance(m, Conv):
            m.rounded = mode in ("round", "both")


def save(net, file):
    """Saves the weights before they are rounded, as 16-bit floats."""
    np.savez(file, **{k: v.cpu().half().numpy() for k, v in net.state_dict().items() if v.is_floating_point()})


def load(net, file):
    """Loads weights that `save` wrote. A residual block that is missing in the file adds nothing at first."""
    kept = np.load(file)
    for name, module in net.named_modules():
        for key, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            full = f"{name}.{key}"
            if full in kept:
                value.data.copy_(torch.from_numpy(kept[full].astype(np.float32)).view(value.shape))
        if isinstance(module, (Block, Squeeze)) and f"{name}.b.weight" not in kept:
            nn.init.zeros_(module.b.norm.weight)
        if isinstance(module, Lift) and f"{name}.a.weight" not in kept:
            nn.init.zeros_(module.a.norm.weight)


def unfold(net, weights, x):
    """Sets a network to folded `weights`, by name, so that its training can be continued. Every row of a layer gets the length
    1, and batch normalisation gets the statistics of the input `x`; the answers stay the same. Layers that `weights` lacks add
    nothing."""
    layers = {name: m for name, m in net.named_modules() if isinstance(m, Conv)}
    hooks = []

    def settle(conv, weight, bias):
        def hook(_, given):
            length = weight.flatten(1).norm(dim=1).clamp_min(1e-8)
            conv.weight.data.copy_(weight / length[:, None, None, None])
            y = F.conv2d(conv.pad(given[0]), conv.weight, None, conv.stride, groups=conv.groups)
            mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3))
            n = conv.norm
            n.running_mean.copy_(mean)
            n.running_var.copy_(var)
            n.weight.data.copy_(length * torch.sqrt(var + n.eps))
            n.bias.data.copy_(bias + length * mean)

        return hook

    for name, conv in layers.items():
        if name not in weights:
            nn.init.zeros_(conv.norm.weight)
            continue
        weight, bias = (torch.from_numpy(v) for v in weights[name])
        # TensorFlow Lite keeps the kernels of a depthwise convolution in one row.
        weight = weight.reshape(conv.weight.shape)
        if conv.norm is None:
            conv.weight.data.copy_(weight)
            conv.bias.data.copy_(bias)
        else:
            hooks.append(conv.register_forward_pre_hook(settle(conv, weight, bias)))
    net.eval()
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
