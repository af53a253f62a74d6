"""The rules for annotations, images, folders and lists.

Each rule is written once, here or in the reader of its format, and adds what it finds to
:class:`Findings`. Registration raises the first error as one line; ``python -m eql_d2.data
validate`` prints all of them.
"""

from .findings import Finding, Findings
