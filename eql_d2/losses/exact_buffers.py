"""State that moves with its model but is never cast."""

from torch import nn


class ExactBuffers(nn.Module):
    """A module whose own buffers keep their dtype.

    ``model.half()``, ``model.bfloat16()`` or ``model.to(dtype)`` cast every floating buffer. A sum
    in bfloat16 stops counting at 256 times its increment, one in float16 becomes infinite at 65504,
    and neither says so. Here such a call only moves the buffers; a checkpoint with other dtypes is
    taken into the declared ones.
    """

    def _apply(self, fn, *args, **kwargs):
        exact = dict(self._buffers)
        super()._apply(fn, *args, **kwargs)
        for name, before in exact.items():
            after = self._buffers[name]
            if before is not None and after.dtype != before.dtype:
                self._buffers[name] = before.to(after.device)
        return self

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        for name, buffer in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if buffer is not None and saved is not None:
                state_dict[prefix + name] = saved.to(buffer.dtype)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
