"""What is on disk: finding photos, reading them, telling them apart."""
