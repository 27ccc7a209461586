"""How files are written and checked: beside and renamed, locked, with checksums."""
