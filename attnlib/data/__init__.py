"""Data sets of the book: made on the spot or shipped inside a package, never downloaded."""
