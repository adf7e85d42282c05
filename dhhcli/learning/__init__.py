"""learning: face packs -> weights; the only part of dhh that imports torch (1.6 s), encode and query never load it."""
