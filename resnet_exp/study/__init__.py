"""From run folders to a verdict. Figures are files: whatever display a notebook has in mind is not asked for."""

import os

os.environ["MPLBACKEND"] = "agg"  # matplotlib reads it when it is first imported, and fails on one it does not know
