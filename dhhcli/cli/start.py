"""start: the ``dhh`` program -> the command line, imported without looking for garbage.

Nothing that is imported goes away again. Python would look through all of it several times for what might, which is a
tenth of a short command's time; it is told to look only at what comes after.
"""

import gc


def main() -> None:
    """Entry point of the ``dhh`` command."""
    gc.disable()
    from dhhcli.cli import app

    gc.freeze()
    gc.enable()
    app.main()
