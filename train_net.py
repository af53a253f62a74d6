#!/usr/bin/env python
"""Train and evaluate on long-tailed data, with a .yaml or a .py (LazyConfig) config.

    train_net.py --config-file configs/LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2.yaml
    train_net.py --config-file ... --resume
    train_net.py --config-file ... --eval-only MODEL.WEIGHTS model.pth
    train_net.py --config-file ... --dataset my_train train.json images/ \
        DATASETS.TRAIN "('my_train',)"

Outside of a clone ``eql-d2 train`` is the same.
"""

from eql_d2.engine.__main__ import main

if __name__ == "__main__":
    main()
