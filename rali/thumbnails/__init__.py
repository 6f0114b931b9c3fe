"""Thumbnails of many photos: made in processes that may crash, kept on disk under what the photo holds."""
