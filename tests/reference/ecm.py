"""Effective class-margin loss, slow and literal: naive exponentials, autograd, float64.

Written from the formulas of arXiv 2301.09724 and of its official code, without any code of the
package.
"""

import math

import torch


class ReferenceECM:
    """Scores e^{z + s+} / (e^{z + s+} + e^{-z + s-}) with s of the margins gamma.

    s+ = -log gamma+ with gamma+ = n-^1/4 / (n+^1/4 + n-^1/4), s- the other way round.
    """

    def __init__(self, class_count, background_ratio=None):
        counts = [float(n) for n in class_count]
        if background_ratio is not None:
            counts.append(background_ratio * sum(counts))
        self.shifts, self.weights = [], []
        for n in counts:
            rest = sum(counts) - n
            roots = n**0.25 + rest**0.25
            self.shifts.append((-math.log(rest**0.25 / roots), -math.log(n**0.25 / roots)))
            a = rest / n
            self.weights.append(a * math.log((1 + a) / a))

    def step(self, logits, targets):
        logits = logits.detach().double().requires_grad_()
        loss = 0.0
        for row, y in zip(logits, targets.tolist()):
            for j, (z, (plus, minus), w) in enumerate(zip(row, self.shifts, self.weights)):
                positive, negative = torch.exp(z + plus), torch.exp(-z + minus)
                share = (positive if j == y else negative) / (positive + negative)
                loss = loss - w * torch.log(share) / len(logits)
        (gradient,) = torch.autograd.grad(loss, logits)
        return loss.detach(), gradient
