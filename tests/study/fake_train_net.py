"""Stands in for train_net.py: leaves what a study reads, within a tenth of a second.

AP is the seed and ten times the learning rate. VIS_PERIOD 13 fails; a step takes 10 ms. The file
``starts`` beside the run's folders counts the starts.
"""

import json
import os
import sys
import time
from pathlib import Path

words = sys.argv[1:]
settings = dict(zip(words[::-1][1::2], words[::-1][::2]))
output, seed = Path(settings["OUTPUT_DIR"]), int(settings["SEED"])
steps, rate = int(settings.get("SOLVER.MAX_ITER", 2)), float(settings.get("SOLVER.BASE_LR", 0))
with open(output.parents[1] / "starts", "a") as file:
    file.write(f"{output.parent.name}/{output.name}\n")
(output / "pid").write_text(str(os.getpid()))
print(f"threads: {os.environ['OMP_NUM_THREADS']}")
if settings.get("VIS_PERIOD") == "13":
    sys.exit("train_net.py: error: 13 is an unlucky number")
if "--eval-only" in words:
    seed = int(Path(settings["MODEL.WEIGHTS"]).read_text())
    time.sleep(0.01 * steps)
else:
    with open(output / "metrics.json", "w") as file:
        for step in range(steps):
            line = {"iteration": step, "total_loss": 1.0, "time": 0.01 * (step % 2 + 1)}
            file.write(json.dumps(line | {"gradient_ratio/rare": step / steps}) + "\n")
            file.flush()
            time.sleep(0.01)
    (output / "model_final.pth").write_text(str(seed))
ap = seed + 10 * rate
evaluation = {
    "version": 1,
    "dataset": "val",
    "evaluator": "none",
    "versions": {},
    "groups": {},
    "results": {"bbox": {"AP": ap, "APr": ap / 2, "APc": None, "AP50": 2 * ap, "AR": 0.0}},
}
(output / "inference/val").mkdir(parents=True)
(output / "inference/val/evaluation.json").write_text(json.dumps(evaluation))
