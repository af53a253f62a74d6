"""Seesaw loss, slow and literal: factors pair by pair, naive softmax, autograd, float64.

Written from the paper's formulas, without any code of the package.
"""

import math

import torch


def softmax(row):
    exponentials = [torch.exp(z) for z in row]
    return [e / sum(exponentials) for e in exponentials]


class ReferenceSeesaw:
    """Seesaw loss (arXiv 2008.10032) over C columns.

    With ``objectness`` a row has C + 2: the last two, foreground and background, are a softmax of
    their own, trained on all rows, and the classes are trained on the foreground rows.
    """

    def __init__(self, num_classes, p=0.8, q=2.0, eps=0.01, objectness=False):
        self.num_classes, self.p, self.q, self.eps = num_classes, p, q, eps
        self.objectness = objectness
        self.seen = [0] * num_classes
        self.pos_grad = torch.zeros(num_classes, dtype=torch.float64)
        self.neg_grad = torch.zeros(num_classes, dtype=torch.float64)

    def factor(self, i, j, scores):
        """M_ij C_ij of the paper; of the scores only the value counts."""
        n_i, n_j = max(self.seen[i], 1), max(self.seen[j], 1)
        mitigation = (n_j / n_i) ** self.p if n_i > n_j else 1.0
        of_label, of_other = max(scores[i], self.eps), scores[j]
        compensation = (of_other / of_label) ** self.q if of_other > of_label else 1.0
        return mitigation * compensation

    def class_loss(self, row, i):
        scores = [float(s) for s in softmax(row)]
        others = [j for j in range(self.num_classes) if j != i]
        denominator = torch.exp(row[i])
        for j in others:
            denominator = denominator + self.factor(i, j, scores) * torch.exp(row[j])
        return -torch.log(torch.exp(row[i]) / denominator)

    def step(self, logits, targets):
        logits = logits.detach().double().requires_grad_()
        labels = targets.tolist()
        for y in labels:
            if 0 <= y < self.num_classes:
                self.seen[y] += 1
        used = [y for y in labels if y >= 0]
        loss = 0 * logits.sum()
        for row, y in zip(logits, labels):
            if 0 <= y < self.num_classes:
                loss = loss + self.class_loss(row[: self.num_classes], y)
            if y >= 0 and self.objectness:
                foreground, background = softmax(row[self.num_classes :])
                loss = loss - torch.log(background if y == self.num_classes else foreground)
        loss = loss / max(len(used), 1)
        (gradient,) = torch.autograd.grad(loss, logits)
        for row, y in zip(gradient, labels):
            if 0 <= y < self.num_classes:
                for j in range(self.num_classes):
                    (self.pos_grad if j == y else self.neg_grad)[j] += row[j].abs()
        return loss.detach(), gradient

    def scores(self, logits):
        rows = []
        for row in logits.detach().double():
            scores = softmax(row[: self.num_classes])
            if self.objectness:
                foreground, _ = softmax(row[self.num_classes :])
                scores = [s * foreground for s in scores]
            rows.append(torch.stack(scores))
        return torch.stack(rows)


def two_columns(logits):
    """Rows with one objectness column z_C as rows with two, whose difference is sqrt(2) z_C."""
    d = math.sqrt(2) * logits[:, -1:]
    return torch.cat([logits[:, :-1], -d / 2, d / 2], dim=1)
