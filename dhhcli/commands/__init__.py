"""commands: words on a command line -> calls, prints; cli.py makes them one program.

Everything that imports slowly is imported inside its command.
"""
