class InputError(ValueError):
    """What the user gave is wrong: a file, a config value, an argument.

    The message is one line that names the thing, its value and the fix. ``train_net.py`` prints
    it alone and exits with 1; anything else is a defect of ours and keeps its traceback.
    """
