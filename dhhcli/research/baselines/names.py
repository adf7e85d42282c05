"""names: names of the rival methods, by kind; the command line reads them without torch."""

FRAMEWISE = ("lsh", "sh", "itq", "ssh", "dbc", "ksh")  # a code a frame, on the backbone's features
VIDEOWISE = ("cvh", "cmssh", "pdh", "mlbe", "mm-nn", "plmh", "her")  # a code a video
FITTED = (*FRAMEWISE, *VIDEOWISE)
TRAINED = (
    "dnnh",
    "dsh",
    "hashnet",
    "ddah",
    "dcbh",
    "dmh",
)  # by gradients: a code a frame (baselines/comparison/trained.py)
METHODS = (*FITTED, *TRAINED)
