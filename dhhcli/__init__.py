"""dhh: find a person in your footage by a photo (deep heterogeneous hashing of face tracks)."""

__version__ = "0.1.0"
