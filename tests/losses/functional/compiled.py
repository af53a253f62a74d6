"""Compiles every kernel for a GPU that need not be there, and prints what ptxas says.

In a process of its own, since Triton's interpreter is chosen when the kernels are imported.
"""

import itertools
import os
import re
import subprocess
import tempfile

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from eql_d2.losses.functional.kernels import focal, sigmoid, softmax
from eql_d2.losses.functional.operators import tiling

PTXAS = os.path.join(os.path.dirname(triton.__file__), "backends/nvidia/bin/ptxas")
TYPES = {"z_ptr": "logits", "gradient_ptr": "logits", "label_ptr": "*i32", "group_ptr": "*i64"}
GPUS = [(80, "*fp32"), (90, "*bf16")]  # capability, and logits
# What is 1 in the layout, and planes (P, C, S) of it
LAYOUTS = {"rows": ("column_stride", (8192, 1204, 1)), "maps": ("position_stride", (4, 1203, 400))}


def compile_kernel(kernel, constants, logits, capability):
    """Registers of a thread and bytes spilled."""
    names = kernel.arg_names
    signature = {}
    for name in names:
        kind = TYPES.get(name, "*fp32") if name.endswith("_ptr") else "i32"
        kind = logits if kind == "logits" else kind
        signature[name] = "constexpr" if name in constants else kind
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name.endswith("_ptr")
        },
    )
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": tiling.NUM_WARPS})
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(compiled.asm["ptx"])
        file.flush()
        name = f"sm_{capability}{'a' if capability >= 90 else ''}"
        command = [PTXAS, "-v", f"--gpu-name={name}", file.name, "-o", os.devnull]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", said)))
    return int(re.search(r"Used (\d+) registers", said)[1]), spilled


def main():
    kernels = [
        (module.__name__.rpartition(".")[2], name, kernel)
        for module in (focal, sigmoid, softmax)
        for name, kernel in vars(module).items()
        if name.endswith("_kernel")
    ]
    for (module, name, kernel), layout, (capability, logits) in itertools.product(
        kernels, LAYOUTS, GPUS
    ):
        stride, shape = LAYOUTS[layout]
        tiles_of = tiling.row_tiling if name == "rows_kernel" else tiling.tiling
        positions, columns = tiles_of(torch.empty(shape, device="meta")).shape
        constants = {stride: 1, "POSITIONS": positions, "COLUMNS": columns, "TILES": 8}
        flags = [flag for flag in kernel.arg_names if flag.startswith("HAS_")]
        for value in (False, True) if flags else (None,):
            given = {k: v for k, v in constants.items() if k in kernel.arg_names}
            given.update(dict.fromkeys(flags, value))
            registers, spilled = compile_kernel(kernel, given, logits, capability)
            option = f" {flags[0]}={value}" if flags else ""
            print(f"sm_{capability} {module}.{name} {layout} {logits[1:]}{option}:", end=" ")
            print(f"{registers} registers, {spilled} bytes spilled", flush=True)


if __name__ == "__main__":
    main()
