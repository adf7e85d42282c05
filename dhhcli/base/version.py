"""version: the version of dhh, in one place; nothing below the root may import the root."""

__version__ = "0.2.0"
