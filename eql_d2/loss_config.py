"""Config keys of the losses, for yaml configs."""

from detectron2.config import CfgNode as CN


def add_loss_config(cfg: CN) -> None:
    """Add ``MODEL.EQL``: the loss, a node of arguments for each class, and what is logged of it."""
    cfg.MODEL.EQL = CN()
    # EQL, InstanceCountEQL, SEQL, EQLv2, SoftmaxEQL; EFL, EQFL for dense heads; or a baseline:
    # SoftmaxCE, SigmoidCE, FocalLoss; or a peer: BalancedSoftmax, SeesawLoss,
    # ClassWeightedSoftmaxCE, ClassWeightedSigmoidCE, ECM
    cfg.MODEL.EQL.LOSS = "EQLv2"
    # pi: probability that each class of a sigmoid loss starts with, through the bias. None: 0.001,
    # that of the official code; "auto" for one-stage detectors: found in the training data
    cfg.MODEL.EQL.PRIOR_PROB = None
    # Forget the statistics that come with MODEL.WEIGHTS (never those of --resume)
    cfg.MODEL.EQL.RESET_STATISTICS = False
    # Measure the gradient ratio of a loss that does not use it: of a baseline
    cfg.MODEL.EQL.MONITOR = False
    # Iterations between two logs of the gradient ratio; 0 logs none
    cfg.MODEL.EQL.LOG_PERIOD = 100
    # Most training images of a rare and of a common category (LVIS: 10 and 100)
    cfg.MODEL.EQL.FREQUENCY_THRESHOLDS = (10, 100)

    cfg.MODEL.EQL.EQL = CN()
    # lambda: share of the images below which a class is tail. LVIS v0.5 0.00177, v1 0.0011
    cfg.MODEL.EQL.EQL.LAMBDA = 0.00177

    cfg.MODEL.EQL.INSTANCECOUNTEQL = CN()
    # lambda: training instances below which a class is tail. Open Images 1652
    cfg.MODEL.EQL.INSTANCECOUNTEQL.LAMBDA = 1652

    cfg.MODEL.EQL.SEQL = CN()
    # lambda, as above; ours for ImageNet-LT, the paper's could not be verified
    cfg.MODEL.EQL.SEQL.LAMBDA = 4.3e-4
    # gamma: probability that a tail class is left out of the softmax of another class' sample
    cfg.MODEL.EQL.SEQL.GAMMA = 0.9

    cfg.MODEL.EQL.EQLV2 = CN()
    # gamma, mu: slope and centre of the weight function f
    cfg.MODEL.EQL.EQLV2.GAMMA = 12.0
    cfg.MODEL.EQL.EQLV2.MU = 0.8
    # alpha: 1 + alpha (1 - f) weighs the positives
    cfg.MODEL.EQL.EQLV2.ALPHA = 4.0
    # Train column C as the category-agnostic task and multiply the scores by it at test
    cfg.MODEL.EQL.EQLV2.OBJECTNESS = True
    # Factor of the accumulated gradients at each step; 1 forgets nothing. So in the losses below
    cfg.MODEL.EQL.EQLV2.DECAY = 1.0

    cfg.MODEL.EQL.EFL = CN()
    # gamma_b: focusing factor of a class in balance
    cfg.MODEL.EQL.EFL.GAMMA = 2.0
    # alpha: weight of the positives, 1 - alpha of the negatives; negative for none
    cfg.MODEL.EQL.EFL.ALPHA = 0.25
    # s: how much the focusing factor grows as the ratio falls
    cfg.MODEL.EQL.EFL.SCALE = 8.0
    cfg.MODEL.EQL.EFL.DECAY = 1.0

    cfg.MODEL.EQL.EQFL = CN()
    # gamma_b and s (YOLOX recipe: 4), as for EFL
    cfg.MODEL.EQL.EQFL.GAMMA = 2.0
    cfg.MODEL.EQL.EQFL.SCALE = 8.0
    cfg.MODEL.EQL.EQFL.DECAY = 1.0

    cfg.MODEL.EQL.SOFTMAXEQL = CN()
    # tau: factor of the margins; 0 is cross entropy
    cfg.MODEL.EQL.SOFTMAXEQL.TAU = 1.0
    # Accumulated gradients that the margins compare: pos, neg or pos_and_neg
    cfg.MODEL.EQL.SOFTMAXEQL.INDICATOR = "pos"
    # epsilon: accumulated gradients below it count as it
    cfg.MODEL.EQL.SOFTMAXEQL.EPS = 1e-4
    cfg.MODEL.EQL.SOFTMAXEQL.DECAY = 1.0

    cfg.MODEL.EQL.CALIBRATION = CN()
    # Calibration of the scores at test by the training samples of each class, for any checkpoint:
    # NorCal (softmax and sigmoid losses), LogitAdjustment (softmax losses), FRACAL (softmax losses,
    # detection) or "" for none; not for losses with margins in training
    cfg.MODEL.EQL.CALIBRATION.NAME = ""
    # gamma of NorCal, ours: choose it on the training data
    cfg.MODEL.EQL.CALIBRATION.GAMMA = 0.5
    # tau of LogitAdjustment; 1 divides by the shares of the classes
    cfg.MODEL.EQL.CALIBRATION.TAU = 1.0
    # beta, lambda of FRACAL: base of the logarithm of its part by images, strength of its part by
    # places in the image. Official for LVIS
    cfg.MODEL.EQL.CALIBRATION.BETA = 10.0
    cfg.MODEL.EQL.CALIBRATION.LAMBDA = 2.0

    cfg.MODEL.EQL.BALANCEDSOFTMAX = CN()
    # tau: factor of the margins log n; 0 is cross entropy
    cfg.MODEL.EQL.BALANCEDSOFTMAX.TAU = 1.0

    cfg.MODEL.EQL.CLASSWEIGHTEDSOFTMAXCE = CN()
    # Weight of a class of n training samples: inverse (1 / n), square_root (1 / sqrt(n)) or
    # effective_number ((1 - beta) / (1 - beta^n)), then scaled to a mean of 1 over the classes
    cfg.MODEL.EQL.CLASSWEIGHTEDSOFTMAXCE.WEIGHTING = "effective_number"
    # beta of the effective number. Official for CIFAR
    cfg.MODEL.EQL.CLASSWEIGHTEDSOFTMAXCE.BETA = 0.9999
    cfg.MODEL.EQL.CLASSWEIGHTEDSIGMOIDCE = CN()
    cfg.MODEL.EQL.CLASSWEIGHTEDSIGMOIDCE.WEIGHTING = "effective_number"
    cfg.MODEL.EQL.CLASSWEIGHTEDSIGMOIDCE.BETA = 0.9999

    cfg.MODEL.EQL.ECM = CN()
    # Samples of the background of a box head for one of a class. Official for Mask R-CNN
    cfg.MODEL.EQL.ECM.BACKGROUND_RATIO = 6.3313

    cfg.MODEL.EQL.SEESAWLOSS = CN()
    # p, q: exponents of mitigation (samples) and compensation (scores); 0 switches one off
    cfg.MODEL.EQL.SEESAWLOSS.P = 0.8
    cfg.MODEL.EQL.SEESAWLOSS.Q = 2.0
    # epsilon: smallest score of the label in the compensation
    cfg.MODEL.EQL.SEESAWLOSS.EPS = 0.01

    cfg.MODEL.EQL.SEM_SEG = CN()
    # Head, common and tail classes of segmentation by "pixels" (share of the labelled training
    # pixels) or "images" (training images that show the class)
    cfg.MODEL.EQL.SEM_SEG.GROUP_BY = "pixels"
    # Largest value of a tail and of a common class; () makes three groups of equal size
    cfg.MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS = ()
