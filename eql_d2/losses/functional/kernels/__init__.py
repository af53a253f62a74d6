"""What runs on the device: Triton kernels. They are launched, and made operators, by
``../operators``."""
