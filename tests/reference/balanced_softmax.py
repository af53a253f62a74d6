"""Balanced softmax and logit adjustment, slow and literal: naive softmax, autograd, float64.

Written from the papers' formulas, without any code of the package.
"""

import torch


class ReferenceBalancedSoftmax:
    """p_y = n_y^tau e^{z_y} / sum_k n_k^tau e^{z_k} (arXiv 2007.10740, 2007.07314).

    ``background`` adds a column of the weight that keeps the odds of foreground and background.
    """

    def __init__(self, class_count, tau=1.0, background=False):
        counts = [float(n) for n in class_count]
        self.weight = [n**tau for n in counts]
        if background:
            self.weight.append(sum(counts) / sum(n ** (1 - tau) for n in counts))

    def step(self, logits, targets):
        logits = logits.detach().double().requires_grad_()
        loss = 0.0
        for row, y in zip(logits, targets.tolist()):
            weighted = [n * torch.exp(z) for n, z in zip(self.weight, row)]
            loss = loss - torch.log(weighted[y] / sum(weighted)) / len(logits)
        (gradient,) = torch.autograd.grad(loss, logits)
        return loss.detach(), gradient
