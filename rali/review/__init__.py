"""A local page to decide about photos before anything moves."""
