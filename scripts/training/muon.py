"""The optimiser of the convolutions: orthogonalised momentum (Muon, K. Jordan 2024) on weights of constant length.

Batch normalisation follows every layer, so only the direction of its weights matters: `rate` is the length of a step
relative to the length of the weights.
"""

import torch


def orthogonal(g, steps=5):
    """An approximation of the nearest orthogonal matrix, by a quintic Newton-Schulz iteration (coefficients: K. Jordan)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    # Most CPUs are slower in bfloat16 than in float32.
    x = g.bfloat16() if g.is_cuda else g
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
                # The clamp is for layers without a gradient. Their output is multiplied by 0, as in a new block at first.
                p.mul_(length / p.norm()).sub_(step * (group["lr"] * length / step.norm().clamp_min(1e-6)))


class Both:
    """Muon for the convolutions that batch normalisation follows, AdamW at a 25th of its rate for all other parameters. The
    rate rises over 100 steps and then falls to zero."""

    def __init__(self, dense, everything, rate):
        mine = {id(p) for p in dense}
        rest = [p for p in everything if id(p) not in mine]
        self.rates = (rate, rate / 25)
        self.optimisers = (Muon(dense, self.rates[0]), torch.optim.AdamW(rest, self.rates[1], weight_decay=0))

    def prepare(self, step, done):
        """Call before step number `step`; `done` is the share of the training that is over."""
        for optimiser, rate in zip(self.optimisers, self.rates):
            optimiser.param_groups[0]["lr"] = rate * min(1, (step + 1) / 100) * (1 - done)
            optimiser.zero_grad(set_to_none=True)

    def step(self):
        for optimiser in self.optimisers:
            optimiser.step()

    def state_dict(self):
        return [o.state_dict() for o in self.optimisers]

    def load_state_dict(self, states):
        for optimiser, state in zip(self.optimisers, states):
            optimiser.load_state_dict(state)
