"""What works on the book: run, check and publish it. From the repository's root: python -m tools.run"""
