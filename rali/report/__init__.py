"""The report: one HTML file with the worst, the best, the groups and all photos, that needs nothing but itself."""
