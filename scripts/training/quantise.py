"""Turns a trained network into one that is rounded to 8 bits: batch normalisation is folded, ranges are learnt, and in a last
training everything is rounded as the 8-bit network will round it."""

import copy

import torch

import net


def watched(model, batches, count):
    """A folded copy that has learnt the ranges of its activations over `count` of `batches`."""
    model = copy.deepcopy(model).eval()
    net.fold(model)
    net.rounding(model, "watch")
    with torch.inference_mode():
        for _, x in zip(range(count), batches):
            model(x)
    # Tensors made in inference mode cannot be used in training, so they are copied.
    for module in model.modules():
        for name, value in list(module._buffers.items()):
            if value is not None:
                module._buffers[name] = value.clone()
    net.rounding(model, "off")
    return model


def tuned(model, loss, rounds, rate, say):
    """Trains a network whose ranges are known, with everything rounded; `loss(model, round)` is minimised. The result has the
    mean of the weights over the last half of the rounds."""
    net.rounding(model, "round")
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0)
    mean, counted, total = None, 0, 0.0
    for r in range(rounds):
        optimiser.param_groups[0]["lr"] = rate * min(1, (r + 1) / 20) * (1 - r / rounds)
        optimiser.zero_grad(set_to_none=True)
        value = loss(model, r)
        value.backward()
        optimiser.step()
        total += value.detach()
        if r >= rounds // 2:
            counted += 1
            weights = [p.detach() for p in model.parameters()]
            if mean is None:
                mean = [w.clone() for w in weights]
            else:
                for m, w in zip(mean, weights):
                    m.lerp_(w, 1 / counted)
        if (r + 1) % 50 == 0:
            say(f"tuning the 8-bit network: round {r + 1} of {rounds}, loss {float(total) / 50:.4f}", (r + 1) / rounds)
            total = 0.0
    with torch.no_grad():
        for p, m in zip(model.parameters(), mean or []):
            p.copy_(m)
    return model
