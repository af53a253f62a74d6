"""The three functions as their formulas stand, of rows in float64: what all forms are held to.

Entry by entry with masks, in closed form, and at the limits where a formula has none of its own:
0 times infinity of a term that vanishes, and the derivative 0 of a quality that is reached.
"""

import torch


def softplus(z):
    return torch.where(z > 40, z, z.exp().log1p())


def is_label(z, label):
    return label[:, None] == torch.arange(z.shape[1])


def sums(loss, gradient, positive, counts):
    """Loss, sums at the labels and elsewhere, and gradient."""
    loss, gradient = (x.where(counts[:, None], 0.0) for x in (loss, gradient))
    absolute = gradient.abs()
    pos_grad, neg_grad = (absolute.where(part, 0.0).sum(0) for part in (positive, ~positive))
    return loss.sum(), pos_grad, neg_grad, gradient


def weighted_sigmoid_cross_entropy(z, label, pos_weight, neg_weight, label_group=None):
    positive = is_label(z, label)
    if label_group is not None:
        neg_weight = neg_weight[label_group[label.clamp(min=0)]]
    weight = torch.where(positive, pos_weight, neg_weight)
    u = torch.where(positive, -z, z)
    gradient = torch.where(positive, -1, 1) * weight * u.sigmoid()
    return sums(weight * softplus(u), gradient, positive, label >= 0)


def class_focal_loss(z, label, gamma, pos_weight, neg_weight, quality=None):
    positive = is_label(z, label)
    u = torch.where(positive, -z, z)
    weight = torch.where(positive, pos_weight, neg_weight)
    p, cross_entropy = u.sigmoid(), softplus(u)
    loss = p**gamma * cross_entropy
    gradient = p**gamma * (p + gamma * times(1 - p, cross_entropy))
    gradient = torch.where(positive, -gradient, gradient)
    if quality is not None:
        q, p = quality[:, None], z.sigmoid()
        distance = (p - q).abs()
        cross_entropy = times(q, softplus(-z)) + times(1 - q, softplus(z))
        steep = torch.where(distance > 0, gamma * distance ** (gamma - 1), 0.0)
        slope = steep * (p - q).sign() * times(p * (1 - p), cross_entropy)
        loss = torch.where(positive, times(distance**gamma, cross_entropy), loss)
        gradient = torch.where(positive, distance**gamma * (p - q) + slope, gradient)
    return sums(weight * loss, weight * gradient, positive, label >= 0)


def times(factor, value):
    """Product that is 0 where the factor is."""
    return torch.where(factor == 0, 0.0, factor * value)


def softmax_cross_entropy(z, label, margin, normalizer=1.0):
    if label.is_floating_point():
        return soft_labels(z, label, margin, normalizer)
    positive = is_label(z, label)
    log_p = (z + margin).log_softmax(1)
    loss = torch.where(positive, -log_p, 0.0)
    gradient = torch.where(positive, log_p.expm1(), log_p.exp())
    return sums(loss / normalizer, gradient / normalizer, positive, label >= 0)


def soft_labels(z, y, margin, normalizer):
    log_p = (z + margin).log_softmax(1)
    gradient = (log_p.exp() * y.sum(1, keepdim=True) - y) / normalizer
    absolute = gradient.abs()
    pos_grad, neg_grad = (y * absolute).sum(0), ((1 - y) * absolute).sum(0)
    return -times(y, log_p).sum() / normalizer, pos_grad, neg_grad, gradient
