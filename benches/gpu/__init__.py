"""A quarter of an hour on a GPU: what is carried there, what runs there, and the record of it."""
