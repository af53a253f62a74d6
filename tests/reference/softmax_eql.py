"""Softmax-EQL, slow and literal: margins pair by pair, naive softmax, autograd, float64.

Written from the papers' formulas, without any code of the package.
"""

import math

import torch


class ReferenceSoftmaxEQL:
    """Margin tau log(G_k / G_y) for each pair of a class k and the label y (arXiv 2210.05566).

    ``background`` adds a column that competes as a class of its own G: the mean of the powers
    that keeps the odds of foreground and background.
    """

    def __init__(self, num_classes, tau=1.0, indicator="pos", eps=1e-4, background=False):
        self.num_classes, self.tau, self.indicator, self.eps = num_classes, tau, indicator, eps
        self.background = background
        self.pos_grad = torch.zeros(num_classes, dtype=torch.float64)
        self.neg_grad = torch.zeros(num_classes, dtype=torch.float64)

    def column_gradients(self):
        """max(G, eps) ** tau of each column."""
        gradient = {
            "pos": self.pos_grad,
            "neg": self.neg_grad,
            "pos_and_neg": self.pos_grad + self.neg_grad,
        }[self.indicator]
        values = [max(g, self.eps) for g in gradient.tolist()]
        columns = [g**self.tau for g in values]
        if self.background:
            columns.append(sum(values) / sum(g ** (1 - self.tau) for g in values))
        return columns

    def step(self, logits, targets):
        logits = logits.detach().double().requires_grad_()
        columns, loss = self.column_gradients(), 0.0
        valid = [i for i, y in enumerate(targets.tolist()) if y >= 0]
        for i in valid:
            y = int(targets[i])
            adjusted = [
                logits[i, k] + (0.0 if k == y else math.log(column / columns[y]))
                for k, column in enumerate(columns)
            ]
            p_label = torch.exp(adjusted[y]) / sum(torch.exp(z) for z in adjusted)
            loss = loss - torch.log(p_label) / len(valid)
        (gradient,) = torch.autograd.grad(loss, logits)
        for i in valid:
            for k in range(self.num_classes):
                grads = self.pos_grad if k == int(targets[i]) else self.neg_grad
                grads[k] += gradient[i, k].abs()
        return loss.detach(), gradient
