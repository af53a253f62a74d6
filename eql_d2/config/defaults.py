"""Config keys of the project, for yaml configs."""

from detectron2.config import CfgNode as CN
from detectron2.projects.deeplab import add_deeplab_config

from ..loss_config import add_loss_config


def add_eql_config(cfg: CN) -> None:
    """Add the keys of this project, and of Detectron2's DeepLab, to a config of Detectron2."""
    add_deeplab_config(cfg)
    add_loss_config(cfg)
    _add_classification_config(cfg)
    _add_yolox_config(cfg)
    _add_average_config(cfg)

    # SGD or, of timm, LAMB
    cfg.SOLVER.OPTIMIZER = "SGD"

    # Parts of each batch of IMS_PER_BATCH images that go through the model one after the other, for
    # batches larger than the memory (gradient accumulation); 1: the batch as a whole
    cfg.SOLVER.MICRO_BATCHES = 1

    # Newest of the periodic checkpoints (CHECKPOINT_PERIOD) that are kept; 0, Detectron2's: all
    cfg.SOLVER.CHECKPOINT_KEEP = 0

    # SOLVER.CLIP_GRADIENTS.CLIP_TYPE also takes "full_model": CLIP_VALUE is then the largest norm
    # of all gradients of the model together. (Detectron2's types clip each parameter by itself.)
    cfg.register_renamed_key(
        "SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM",
        "SOLVER.CLIP_GRADIENTS.CLIP_VALUE",
        message="set ENABLED to True and CLIP_TYPE to full_model",
    )

    # Schedule in epochs in the place of MAX_ITER, STEPS and WARMUP_ITERS; 0: off, with the two
    # below. An epoch has each image as often as the sampler repeats it
    cfg.SOLVER.EPOCHS = 0
    # Epochs after which the learning rate falls
    cfg.SOLVER.EPOCH_STEPS = ()
    # Epochs of warm-up; 0: WARMUP_ITERS
    cfg.SOLVER.WARMUP_EPOCHS = 0

    # LR_SCHEDULER_NAME also takes "WarmupCosineConstantLR" (YOLOX): a quadratic warm-up from 0, a
    # cosine down to BASE_LR_END (official 5% of BASE_LR), and that for the last iterations
    cfg.SOLVER.CONSTANT_ITERS = 0
    # The same in epochs (official 15 of 300); 0: CONSTANT_ITERS
    cfg.SOLVER.CONSTANT_EPOCHS = 0

    # Weight decays of the parameters whose whole name fits a regular expression, after
    # WEIGHT_DECAY, WEIGHT_DECAY_NORM and WEIGHT_DECAY_BIAS: ((expression, weight decay), ...)
    cfg.SOLVER.WEIGHT_DECAY_OVERRIDES = ()

    # Rounding of the repeat factors of RepeatFactorTrainingSampler: "stochastic", Detectron2's, or
    # "ceil", that of the official code of EFL
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"

    # Images of more pixels (width times height) are refused. The default is Pillow's bound,
    # Image.MAX_IMAGE_PIXELS: a quarter of a gigabyte in RGB
    cfg.INPUT.MAX_IMAGE_PIXELS = 89_478_485

    _add_augmentation_config(cfg)

    # Own data, any number of each:
    # (name, annotation file in COCO or LVIS format, image folder), or with a long tail cut from it
    # (name, annotation file, image folder, factor, seed)
    cfg.DATASETS.JSON = ()
    # (name, folder of class folders), or with a long tail cut from it (name, folder, factor, seed)
    cfg.DATASETS.CLASS_FOLDERS = ()
    # (name, image folder, folder of label maps, text file with one class name a line)
    cfg.DATASETS.MASK_FOLDERS = ()


def _add_average_config(cfg: CN) -> None:
    # Average of the weights over the steps, which is what is evaluated
    cfg.MODEL.EMA = CN()
    # Decay of the average; 0: none. Official for YOLOX 0.9998
    cfg.MODEL.EMA.DECAY = 0.0
    # After k updates the decay is DECAY * (1 - exp(-k / WARMUP)); official. 0: DECAY at once
    cfg.MODEL.EMA.WARMUP = 2000

    # Average weights, biases and statistics of batch norms over the processes before evaluations
    cfg.TEST.AVERAGE_NORM = False


def _add_augmentation_config(cfg: CN) -> None:
    """Defaults within a group are those of the YOLOX recipe of the official code of EFL, but for
    copy-paste."""
    # Lengths of the longer side of which each training image gets one, in the place of
    # MIN_SIZE_TRAIN and MAX_SIZE_TRAIN; (): off. Recipe: (480, 512, ..., 800), multiples of 32
    cfg.INPUT.LONGEST_EDGE_TRAIN = ()
    # Gains of hue, saturation and value: a training image has each multiplied by a factor from 1
    # plus or minus its gain; zeros: off. Recipe: (0.015, 0.7, 0.4)
    cfg.INPUT.HSV = (0.0, 0.0, 0.0)

    # Mosaic of four training images, affine map and mixup with a fifth, before all else
    cfg.INPUT.MOSAIC = CN({"ENABLED": False})
    # Side of the mixed image in pixels
    cfg.INPUT.MOSAIC.SIZE = 640
    # Share of the iterations that mixes (recipe: 285 of 300 epochs)
    cfg.INPUT.MOSAIC.UNTIL = 0.95
    # How the other images are drawn: "uniform", or, ours, "sampler": by the repeat factors
    cfg.INPUT.MOSAIC.PARTNERS = "uniform"
    # Affine map: largest rotation in degrees, range of the factor, largest shear in degrees, and
    # largest way of the centre as share of SIZE
    cfg.INPUT.MOSAIC.DEGREES = 10.0
    cfg.INPUT.MOSAIC.SCALE = (0.1, 2.0)
    cfg.INPUT.MOSAIC.SHEAR = 2.0
    cfg.INPUT.MOSAIC.TRANSLATE = 0.1
    # Probability of mixup, and range of the factor of the image that is mixed in
    cfg.INPUT.MOSAIC.MIXUP_PROB = 1.0
    cfg.INPUT.MOSAIC.MIXUP_SCALE = (0.8, 1.6)

    # Copy-paste of instances of rare categories, before all else; data with masks. Defaults are the
    # paper's (arXiv 2012.07177) where it has them
    cfg.INPUT.COPY_PASTE = CN({"ENABLED": False})
    # Probability that an image gets any, and the most that it gets
    cfg.INPUT.COPY_PASTE.PROB = 1.0
    cfg.INPUT.COPY_PASTE.INSTANCES = 3
    # Range of the factor of an instance, its image scaled to fit the other
    cfg.INPUT.COPY_PASTE.SCALE = (0.1, 2.0)
    # Of the repeat factors: those above 1 are pasted, in proportion to them. That of the sampler is
    # DATALOADER.REPEAT_THRESHOLD
    cfg.INPUT.COPY_PASTE.REPEAT_THRESHOLD = 0.001


def _add_classification_config(cfg: CN) -> None:
    cfg.MODEL.CLASSIFIER = CN()
    # LinearClassifier or CosineClassifier
    cfg.MODEL.CLASSIFIER.NAME = "LinearClassifier"
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # Feature of the backbone that is pooled
    cfg.MODEL.CLASSIFIER.IN_FEATURE = "res5"
    # Factor of the cosine (ImageNet-LT recipe of the official code)
    cfg.MODEL.CLASSIFIER.TEMPERATURE = 30.0

    # MODEL.BACKBONE.NAME build_torchvision_backbone: a model of torchvision and its node to use
    cfg.MODEL.TORCHVISION = CN()
    cfg.MODEL.TORCHVISION.NAME = "resnet50"
    cfg.MODEL.TORCHVISION.NODE = "layer4"

    # MODEL.BACKBONE.NAME build_timm_backbone, build_timm_fpn_backbone (two-stage detection,
    # segmentation) or build_timm_retinanet_fpn_backbone (one-stage): a network of timm
    cfg.MODEL.TIMM = CN()
    cfg.MODEL.TIMM.NAME = "tf_efficientnet_lite0"
    # res2 to res5 are the features of strides 4 to 32
    cfg.MODEL.TIMM.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    # Batch norm that is trained ("BN") or not ("FrozenBN"); what lies before the feature of
    # MODEL.BACKBONE.FREEZE_AT never is
    cfg.MODEL.TIMM.NORM = "FrozenBN"

    # Transforms of ImageNet-LT in the official code
    cfg.INPUT.CLASSIFICATION = CN()
    # Side of the crop in pixels, and at test that of the shorter side before it
    cfg.INPUT.CLASSIFICATION.CROP_SIZE = 224
    cfg.INPUT.CLASSIFICATION.RESIZE_TEST = 256
    # Area of the training crop as share of the image
    cfg.INPUT.CLASSIFICATION.SCALE = (0.08, 1.0)
    cfg.INPUT.CLASSIFICATION.FLIP_PROB = 0.5
    # Brightness, contrast, saturation, hue
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = (0.4, 0.4, 0.4, 0.0)
    # alpha of mixup (arXiv 1710.09412; torchvision's recipes: 0.2) and of CutMix (arXiv 1905.04899;
    # 1.0 there and in torchvision's recipes); 0: none. With both, each batch has one of the two
    cfg.INPUT.CLASSIFICATION.MIXUP = 0.0
    cfg.INPUT.CLASSIFICATION.CUTMIX = 0.0


def _add_yolox_config(cfg: CN) -> None:
    # MODEL.BACKBONE.NAME build_yolox_backbone
    cfg.MODEL.YOLOX = CN()
    # Factors of the number of layers and of their channels: S 0.33 and 0.5, M 0.67 and 0.75
    cfg.MODEL.YOLOX.DEPTH = 0.33
    cfg.MODEL.YOLOX.WIDTH = 0.5
    # Residual bottlenecks in the neck: True in the official YOLOX-IP, False in Megvii's YOLOX.
    # Weights of either load into both
    cfg.MODEL.YOLOX.NECK_SHORTCUT = True
    # Order of the four pixels of a patch among the channels of the stem: row_major as in the
    # official YOLOX-IP, column_major as in Megvii's YOLOX. Weights of either load into both
    cfg.MODEL.YOLOX.STEM_ORDER = "row_major"
