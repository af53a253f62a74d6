"""The book builds without a warning, and what its pages say to type is typed.

A page (docs/*.md) is run top to bottom in a folder of its own, in which ``./train_net.py`` and
``configs/`` are those of the clone. What is done with a fenced block goes by its language and by
the MyST comment above it, if there is one:

======================  ============================================================================
```bash                 run by ``bash -e``; variables stay for the next block of the page
```python               run in one namespace for all blocks of the page
```text after those     output of the last one: has to be in it; ``...`` stands for anything
```yaml                 read; one of a config's keys is merged into a config
% file: NAME            the block is written to NAME, for a later block
% not run: REASON       not run, and listed with the reason
% data: KIND ...        alone, before all blocks: make a user's data, ``data.py`` says what
======================  ============================================================================

Any other block, indented code too, is an error. To see how long each takes, and what is not run::

    python -m tests.docs [docs/own_data.md ...]
"""
