"""A stranger's program runs in a child that can harm little: the supervisor, and what the child gives up."""
