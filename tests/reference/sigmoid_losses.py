"""EQL and EQL v2, slow and literal: one-hot targets, naive logarithms, autograd, float64.

Written from the papers' formulas, without any code of the package.
"""

import torch


def one_hot(targets, num_columns):
    y = torch.zeros(len(targets), num_columns, dtype=torch.float64)
    for row, target in enumerate(targets.tolist()):
        y[row, target] = 1
    return y


def binary_cross_entropy(logits, y):
    p = 1 / (1 + torch.exp(-logits))
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p))


def loss_and_gradient(logits, y, weight):
    logits = logits.detach().double().requires_grad_()
    loss = (weight * binary_cross_entropy(logits, y)).sum() / len(logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


class ReferenceEQL:
    """w = 1 - E(r) T(f) (1 - y) over C columns (arXiv 2003.05176); a last column is not used."""

    def __init__(self, image_frequency, lambda_):
        self.tail = (torch.as_tensor(image_frequency) < lambda_).double()

    def step(self, logits, targets):
        num_classes = len(self.tail)
        y = one_hot(targets, num_classes + 1)[:, :num_classes]
        foreground = (targets < num_classes).double()
        weight = 1 - foreground[:, None] * self.tail[None] * (1 - y)
        loss, gradient = loss_and_gradient(logits[:, :num_classes], y, weight)
        return loss, torch.cat([gradient, torch.zeros(len(logits), 1).double()], dim=1)


class ReferenceEQLv2:
    """Gradient-guided weights and the category-agnostic column (arXiv 2012.08548)."""

    def __init__(self, num_classes, gamma=12.0, mu=0.8, alpha=4.0):
        self.num_classes, self.gamma, self.mu, self.alpha = num_classes, gamma, mu, alpha
        self.pos_grad = torch.zeros(num_classes, dtype=torch.float64)
        self.neg_grad = torch.zeros(num_classes, dtype=torch.float64)
        self.ratio = torch.full((num_classes,), 100.0, dtype=torch.float64)

    def step(self, logits, targets):
        logits = logits.detach().double()
        f = 1 / (1 + torch.exp(-self.gamma * (self.ratio - self.mu)))
        neg_weight = torch.cat([f, torch.ones(1)])
        pos_weight = torch.cat([1 + self.alpha * (1 - f), torch.ones(1)])
        y = one_hot(targets, self.num_classes + 1)
        weight = y * pos_weight + (1 - y) * neg_weight
        loss, gradient = loss_and_gradient(logits, y, weight)

        absolute = weight * (1 / (1 + torch.exp(-logits)) - y).abs()
        self.pos_grad += (y * absolute).sum(0)[:-1]
        self.neg_grad += ((1 - y) * absolute).sum(0)[:-1]
        self.ratio = self.pos_grad / (self.neg_grad + 1e-10)
        return loss, gradient
