"""Scores as stars and labels that other programs read: XMP sidecars, written so that nothing of the user's is lost."""
