"""A training step of a network in PyTorch. Needs nothing but torch: a GPU's host may not have more."""

import torch


class Step:
    """A whole step: forward, mean absolute error, backward, the gradient's norm, clipping, fused AdamW."""

    def __init__(self, build, options, layout, compiled, dtype=torch.float32):
        model, self.arguments, self.target = build(options, dtype)
        if layout is not None:
            model = model.to(memory_format=layout)
            self.arguments = (self.arguments[0].to(memory_format=layout), *self.arguments[1:])
        self.parameters = list(model.parameters())
        decayed = [value for name, value in model.named_parameters() if name.endswith("weight") and value.dim() > 1]
        others = [value for value in self.parameters if all(value is not one for one in decayed)]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=options["learningRate"],
            fused=True,
        )
        model.train()
        self.model = torch.compile(model) if compiled else model

    def run(self):
        self.optimiser.zero_grad()
        loss = (self.model(*self.arguments) - self.target).abs().mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.last = [loss.item(), norm.item()]

    def answer(self):
        return self.last
