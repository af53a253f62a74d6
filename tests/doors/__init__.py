"""One input, every public door: done right, or refused by the same line.

``annotation_files.py`` and ``settings.py`` have the inputs, good ones with one thing changed;
``doors.py`` the ways by which users come in; ``test_doors.py`` brings each input to each door that
can take it.
"""
