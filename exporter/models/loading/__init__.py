"""A model in any of its forms becomes a Model: files read safely, modules exported."""
