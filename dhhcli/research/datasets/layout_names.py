"""layout_names: words on a command line -> Layout, how folders of people are laid out; for quick help."""

from enum import StrEnum


class Layout(StrEnum):
    """Ways of laying out faces; ``auto`` looks which one it is."""

    AUTO = "auto"
    IMAGES = "images"
    VIDEOS = "videos"
    YTC = "ytc"
    PB = "pb"
    UMDFACES = "umdfaces"
