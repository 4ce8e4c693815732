"""Long runs that no notebook and no test holds."""
