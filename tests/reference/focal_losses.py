"""EFL and EQFL, slow and literal: one-hot targets over dense rows, autograd, float64.

Written from the formulas of the paper and the official hook's definition of the statistics
(absolute gradient of the normalised loss), without any code of the package.
"""

import torch

from tests.reference.sigmoid_losses import one_hot


class ReferenceEFL:
    """Rows (R, C); labels 0..C-1, C background, -1 ignored."""

    def __init__(self, num_classes, gamma=2.0, alpha=0.25, scale=8.0):
        self.num_classes, self.gamma, self.alpha, self.scale = num_classes, gamma, alpha, scale
        self.pos_grad = torch.zeros(num_classes, dtype=torch.float64)
        self.neg_grad = torch.zeros(num_classes, dtype=torch.float64)
        self.ratio = torch.ones(num_classes, dtype=torch.float64)

    def elements(self, logits, y, gamma, quality):
        """Loss of each entry, without the weighting factor."""
        p = 1 / (1 + torch.exp(-logits))
        positive = self.alpha * (1 - p) ** gamma * -torch.log(p)
        negative = (1 - self.alpha) * p**gamma * -torch.log(1 - p)
        return y * positive + (1 - y) * negative

    def step(self, logits, labels, normalizer, quality=None):
        valid = labels >= 0
        y = one_hot(labels[valid], self.num_classes + 1)[:, :-1]
        gamma = self.gamma + self.scale * (1 - self.ratio)
        quality = None if quality is None else quality[valid].double()[:, None]
        leaf = logits.detach().double().requires_grad_()
        loss = self.elements(leaf[valid], y, gamma, quality) * gamma / self.gamma
        loss = loss.sum() / normalizer
        (gradient,) = torch.autograd.grad(loss, leaf)
        absolute = gradient[valid].abs()
        self.pos_grad += (absolute * y).sum(0)
        self.neg_grad += (absolute * (1 - y)).sum(0)
        self.ratio = (self.pos_grad / (self.neg_grad + 1e-10)).clamp(0, 1)
        return loss.detach(), gradient


class ReferenceEQFL(ReferenceEFL):
    def elements(self, logits, y, gamma, quality):
        p = 1 / (1 + torch.exp(-logits))
        log_p, log_not_p = torch.log(p), torch.log(1 - p)
        positive = (quality - p).abs() ** gamma * -(quality * log_p + (1 - quality) * log_not_p)
        return y * positive + (1 - y) * p**gamma * -log_not_p
