"""Checkpoints that are damaged, of another model, hostile, or hold numbers that cannot be."""

import functools
import io
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import torch

from tests.fuzz.checkpoint_contents import (
    CONTENTS,
    Evil,
    as_numpy,
    evil_file,
    training_state,
    whole_weights,
)
from tests.fuzz.tiny_runs import run, trained_checkpoint, workspace


def _bytes_of(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# Files by their whole names
_FILES: dict[str, Callable[[], bytes]] = {
    "empty.pth": bytes,
    "text.pth": lambda: b"not a checkpoint\n",
    "git_lfs.pth": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "page.pth": lambda: b"<!DOCTYPE html><html>404</html>",
    "zip.pth": lambda: _zip({"a/b.txt": b"c"}),
    "empty_zip.pth": lambda: _zip({}),
    "evil.pth": lambda: pickle.dumps(Evil()),
    "evil.pkl": lambda: pickle.dumps({"model": {"a": Evil()}}),
    "evil_top.pkl": lambda: pickle.dumps(Evil()),
    "evil_zip.pth": lambda: _zip(
        {"archive/data.pkl": pickle.dumps(Evil()), "archive/version": b"3"}
    ),
    "whole.pkl": lambda: pickle.dumps({"model": as_numpy(whole_weights()), "__author__": "a test"}),
    "bare.pkl": lambda: pickle.dumps(as_numpy(whole_weights())),
    "caffe2.pkl": lambda: pickle.dumps({"blobs": {"conv1_w": np.zeros((2, 2), np.float32)}}),
    "objects.pkl": lambda: pickle.dumps({"model": {"a": np.array([{}, None], dtype=object)}}),
    "none.pkl": lambda: pickle.dumps(None),
    "number.pkl": lambda: pickle.dumps(3),
    "text.pkl": lambda: b"hello",
    "empty.pkl": bytes,
    "truncated.pkl": lambda: pickle.dumps({"model": as_numpy(whole_weights())})[:-100],
    "whole.pyth": lambda: pickle.dumps({"model_state": as_numpy(whole_weights())}),
    "whole.txt": lambda: _bytes_of({"model": whole_weights()}),
    "no_suffix": lambda: _bytes_of({"model": whole_weights()}),
    "spaces in name.pth": lambda: _bytes_of({"model": whole_weights()}),
    "question?mark.pth": lambda: _bytes_of({"model": whole_weights()}),
}
# What last_checkpoint says, beside a good model_0000000.pth
_TAGS = {
    "the good file": "model_0000000.pth",
    "with a line break": "model_0000000.pth\n",
    "empty": "",
    "missing": None,
    "another file": "model_0000009.pth",
    "an absolute path": "/etc/passwd",
    "a path outside": "../evil.pkl",
    "a folder": ".",
    "a binary": "\x00\x01",
    "a pickle": "evil.pkl",
    "a damaged file": "damaged.pth",
}


def cases(seed: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """All cases, and then damaged files without end: (name, function that runs it)."""
    rng = random.Random(seed)
    made = [
        *(
            (f"content, {how}: {name}", functools.partial(_content, name, how))
            for name in CONTENTS
            for how in ("eval", "train", "resume")
        ),
        *((f"file: {name}", functools.partial(_file, name)) for name in _FILES),
        *((f"tag: {name}", functools.partial(_tag, text)) for name, text in _TAGS.items()),
    ]
    rng.shuffle(made)
    yield from made
    for _ in count():
        number = rng.randrange(10**6)
        how = rng.choice(["eval", "resume"])
        yield f"damaged, {how} {number}", functools.partial(_damaged, number, how)


def _content(name: str, how: str) -> None:
    content = CONTENTS[name]()
    if how == "resume" and isinstance(content, dict) and "model" in content:
        content = {**training_state(), **content}
    _use(_bytes_of(content), "case.pth", how)


def _file(name: str) -> None:
    _use(_FILES[name](), name, "eval")


def _damaged(number: int, how: str) -> None:
    rng = random.Random(number)
    data = bytearray(trained_checkpoint())
    if rng.random() < 0.4:
        data = data[: rng.randrange(len(data))]
    for _ in range(rng.randint(0, 4)):
        start = rng.randrange(max(len(data), 1))
        data[start : start + rng.choice([1, 8, 200])] = rng.randbytes(rng.choice([1, 8, 200]))
    _use(bytes(data), "case.pth", how)


def _use(data: bytes, name: str, how: str) -> None:
    """Evaluate or train from a file, or resume from it."""
    folder = workspace()
    config = ("--config-file", str(folder / "twostage.yaml"))
    try:
        if how == "resume":
            _write_output({"model_0000000.pth": data, "last_checkpoint": b"model_0000000.pth"})
            _run(*config, "--resume")
        else:
            (folder / name).write_bytes(data)
            option = ("--eval-only",) if how == "eval" else ()
            _run(*config, *option, "MODEL.WEIGHTS", str(folder / name))
    finally:
        (folder / name).unlink(missing_ok=True)


def _tag(text: str | None) -> None:
    _write_output(
        {
            "model_0000000.pth": trained_checkpoint(),
            "damaged.pth": b"x",
            "evil.pkl": pickle.dumps(Evil()),
            **({} if text is None else {"last_checkpoint": text.encode()}),
        }
    )
    (workspace() / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    _run("--config-file", str(workspace() / "twostage.yaml"), "--resume")


def _write_output(files: dict[str, bytes]) -> None:
    output = workspace() / "output"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    for name, data in files.items():
        (output / name).write_bytes(data)


def _run(*words: str) -> None:
    try:
        run(*words)
    finally:
        ran = evil_file().exists()
        evil_file().unlink(missing_ok=True)
        assert not ran, "the code of a pickle has run"
