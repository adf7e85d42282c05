"""model_tag: a network and hash layers -> the few values that say whether codes of two files can be compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelTag:
    """What made the codes: K bits, and the SHA-256 (hex) of the weights; and whether every frame's code is kept."""

    bits: int
    fingerprint: str
    frame_codes: bool = False

    def compares(self, other: "ModelTag") -> bool:
        """Whether codes of both can be compared: one model made them."""
        return (self.bits, self.fingerprint) == (other.bits, other.fingerprint)
