"""COCO files as the tools that people label with write them.

``scene.py`` has what is to be seen, ``annotation_tools.py`` and ``converters.py`` the dialects:
each writes the same scene as one tool does. ``test_dialects.py`` takes all of them through checks,
training, evaluation and the table of the categories.
"""
