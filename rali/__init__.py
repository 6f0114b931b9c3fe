"""Score, rank and sort photos by technical quality with the RALI model, on this machine alone."""
