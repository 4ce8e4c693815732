"""Models that a chapter writes out and that scripts, tests and later chapters take from here; all in PyTorch."""
