"""The optimiser of the convolutions: momentum, made orthogonal (Muon, K. Jordan 2024), on weights of constant length.

Batch normalisation follows every layer, so only the direction of its weights matters: `rate` is the part of their
length that a step moves them.
"""

import torch


def orthogonal(g, steps=5):
    """The nearest orthogonal matrix, roughly, by a quintic Newton-Schulz iteration (coefficients: K. Jordan)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr, momentum=0.9):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(m, group["momentum"])
                step = orthogonal(g.flatten(1)).view_as(p)
                length = p.shape[0] ** 0.5
                p.mul_(length / p.norm()).sub_(step, alpha=group["lr"] * length / float(step.norm()))
