"""On which inputs a model is checked: files of the user's, or generated kinds."""
