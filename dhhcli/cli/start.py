"""start: the ``dhh`` program -> the command line, imported without looking for garbage, and without a word if stopped.

Nothing that is imported goes away again. Python would look through all of it several times for what might, which is a
tenth of a short command's time; it is told to look only at what comes after. Nothing is lost either where the import is
interrupted, so Ctrl-C ends the program there as the system does, not with a traceback.

OpenBLAS, which comes with numpy, keeps a core busy for tenths of a second after its import and after each product, in
case more comes: a core that decodes, or that lays out a network. Its threads are told to sleep at once.
"""

import gc
import os
import signal


def main() -> None:
    """Entry point of the ``dhh`` command."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else it is ignored, or a program's own: left alone
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles, the least; read while numpy is imported
    gc.disable()
    from dhhcli.cli import app

    gc.freeze()
    gc.enable()
    app.main()  # takes Ctrl-C over
