"""Damaged input, generated with fixed seeds: it ends in success or in one line, never otherwise.

    python -m tests.fuzz --cases 1000
    python -m tests.fuzz --cases 200 --kind images --seed 7

Each kind is a module of this folder, named in ``KINDS`` of ``__main__.py``, with a function
``cases(seed)`` that yields ``(name, run)``; the same seed gives the same cases. ``run()`` returns
after success; an ``InputError`` of single lines, or the exit with them, is the other good end.
"""
