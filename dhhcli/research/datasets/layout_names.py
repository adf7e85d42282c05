"""layout_names: words on a command line -> FolderLayout, how folders of people are laid out; for quick help."""

from enum import StrEnum


class FolderLayout(StrEnum):
    """Ways of laying out faces; ``auto`` looks which one it is."""

    AUTO = "auto"
    IMAGES = "images"
    VIDEOS = "videos"
    YTC = "ytc"
    PB = "pb"
    UMDFACES = "umdfaces"
