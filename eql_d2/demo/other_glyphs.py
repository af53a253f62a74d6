"""Letters to learn from before those of :mod:`eql_d2.demo.glyphs`, as detectors learn ImageNet.

200 other letters of the same fonts, none of the shape of one of the 150, all equally frequent.
Usage::

    python -m eql_d2.demo.other_glyphs OUTPUT_DIR
"""

import os

from .generated import run_command
from .glyphs import generate_glyphs

LETTERS = (
    "CIMWÂÅÆÏÔÕÛÝÞæþĀĂĄđĔĖĨĭįİĸĺŀŁŃŉŊŋŔŗŘŤťŪŸŻſƈƋƎƐƒƗƚƛƠơƤƧƨƯƱƵƶƷƸƺƽǍǸǹǾȂȉȊȌȍȎȐȑȒȔȕȚțȞȠȧȨȮȯȲȴȶȸȻȾɍɗɘɚɝɟɦ"
    "ɩɳɷɸɼɿʅʆʇʌʎʑʒʚʤʧʫ" + "ΆΈΌάένρςυώϛϟϡϺ" + "ЀЃЋЌЏЛУФбгжлмпчшьюяѐѓњћќѝўґғҔҕҗқҬҰұҲҳҺӁӇӤӮӶӹ"
    "ԳԶԺԽԾՃՄՆՉՒադեզըխկձղճշչջռւք"
)


def generate_other_glyphs(output_dir: str | os.PathLike) -> bool:
    """Write twice as many images as :func:`generate_glyphs`, all classes equally frequent."""
    return generate_glyphs(output_dir, num_train=1600, imbalance=1.0, letters=LETTERS)


if __name__ == "__main__":
    run_command("other_glyphs", generate_other_glyphs)
