"""How fast attnlib is and how much memory it takes, against the plainest code and the frameworks' own: `make bench`."""
